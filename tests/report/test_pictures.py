"""Pictures of a report: numbers lie where they belong, names cover nothing, words are only words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from made_up_runs import a_manifest

from attendc.report.axes import around, ticks
from attendc.report.lines import Series, curve_pictures, draw_layers, draw_lines, draw_steps
from attendc.report.matrix import Agreement, agreement_of, draw_agreement
from attendc.report.ranges import draw_histogram, draw_scales, int8_span
from attendc.report.scatter import Point, draw_sizes
from attendc.report.svg import MARKERS, Drawing, number, shorten

FONT = 11


def tree(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: str, kind: str = "") -> list[str]:
    return [str(t.text or "") for t in tree(svg).iter("text") if kind in (t.get("class") or "")]


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (94.3, 95.1, 5, [94.4, 94.6, 94.8, 95.0]),
        (-3, 3, 6, [-3, -2, -1, 0, 1, 2, 3]),
        (0, 840_000, 5, [0, 200_000, 400_000, 600_000, 800_000]),
        (5, 5, 5, [5]),
    ],
)
def test_ticks_are_round_numbers_within(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == expected


def test_a_span_of_one_value_has_room() -> None:
    assert around([3.0]) == (2.5, 3.5)
    assert around([3.0], least=4.0, room=0.0) == (0.5, 5.5)


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (-0.001, "0"), (12.345, "12.35"), (100.0, "100")])
def test_coordinates_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_long_name_keeps_its_end() -> None:
    assert shorten("stages.2.attention", 10) == "\N{HORIZONTAL ELLIPSIS}attention"
    assert shorten("attention", 9) == "attention"


@pytest.mark.parametrize("shape", MARKERS)
def test_every_marker_is_drawn_around_its_point(shape: str) -> None:
    drawing = Drawing(100, 100, "x")
    drawing.marker(shape, (50, 40), 4, "c0", "a < b")
    svg = drawing.markup()
    assert "a &lt; b" in svg
    if shape != "circle":
        (path,) = tree(svg).iter("path")
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d") or "")]
        assert all(abs(x - 50) <= 5.1 for x in numbers[::2])
        assert all(abs(y - 40) <= 5.1 for y in numbers[1::2])


def test_words_and_titles_are_escaped() -> None:
    drawing = Drawing(10, 10, '"><script>')
    drawing.text((0, 0), "</text><script>", kind='"x')
    assert "<script>" not in drawing.markup()
    assert tree(drawing.markup()).get("aria-label") == '"><script>'


# Size against accuracy


def points(*numbers: tuple[str, int, float]) -> list[Point]:
    return [Point(name, size, accuracy, "circle", "mark c0") for name, size, accuracy in numbers]


def centres(svg: str) -> list[tuple[float, float]]:
    return [(float(c.get("cx") or 0), float(c.get("cy") or 0)) for c in tree(svg).iter("circle")]


def test_larger_is_further_right_and_better_is_higher() -> None:
    (ax, ay), (bx, by) = centres(draw_sizes(points(("a", 100, 0.90), ("b", 200, 0.95))))
    assert ax < bx
    assert ay > by


def test_half_the_bytes_lie_half_way_from_zero() -> None:
    (ax, _), (bx, _) = centres(draw_sizes(points(("a", 100, 0.9), ("b", 200, 0.95))))
    left = 46  # of the frame
    assert (ax - left) * 2 == pytest.approx(bx - left, abs=0.05)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_names_of_points_at_one_place_do_not_overlap(count: int) -> None:
    crowd = points(*((f"tflite_float32 {k}", 749_000 + k, 0.95) for k in range(count)))
    svg = draw_sizes(crowd, level=0.95)
    labels = [t for t in tree(svg).iter("text") if t.get("class") == "label"]
    boxes = []
    for label in labels:
        x, y = float(label.get("x") or 0), float(label.get("y") or 0)
        boxes.append((x, y - FONT * 0.85, x + 0.56 * FONT * len(label.text or ""), y + FONT * 0.15))
    assert len(boxes) == count
    assert all(box[0] >= 46 and box[2] <= 400 for box in boxes)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] + 0.1 or b[3] <= a[1] + 0.1


# Agreement


def test_agreement_comes_from_the_pairs_where_there_is_no_evidence() -> None:
    found = agreement_of(a_manifest(), None)
    assert found is not None
    assert found.names == ("float", "graph", "tflite", "tflite_reference", "onnx", "tflite_float32")
    row = dict(zip(found.names, found.matrix[1], strict=True))
    assert row == {
        "float": 0.991,
        "graph": 1.0,
        "tflite": 0.999,
        "tflite_reference": 0.995,
        "onnx": 0.998,
        "tflite_float32": None,
    }
    assert found.most == 1000


def test_cells_never_round_up_to_all_and_mark_fewer_images() -> None:
    parts = ((1.0, 0.99999, 1.0), (0.99999, 1.0, None), (1.0, None, 1.0))
    svg = draw_agreement(Agreement(("a", "b", "c"), parts, ((9, 9, 4), (9, 9, None), (4, None, 9))))
    assert texts(svg, "cell") == ["", "99.99", "100*", "99.99", "", "\N{EN DASH}", "100*", "\N{EN DASH}", ""]


def test_the_less_they_agree_the_darker_the_cell() -> None:
    svg = draw_agreement(Agreement(("a", "b"), ((1.0, 0.99), (0.5, 1.0)), ((9, 9), (9, 9))))
    shades = [float(r.get("fill-opacity") or 0) for r in tree(svg).iter("rect") if r.get("class") == "differ"]
    assert shades == [0.25, 0.75]  # a third of the three percent, and more than all of them


# Lines


def test_every_series_has_its_own_marker_dashes_and_name() -> None:
    series = [Series(name, [(0, 1.0), (1, 2.0)]) for name in ("a", "b")]
    svg = draw_lines("t", series, ("y", str), ("x", {}))
    kinds = [p.get("class") for p in tree(svg).iter("path") if "line" in (p.get("class") or "")]
    assert kinds == ["line c0 dash0", "line c1 dash1"]
    assert texts(svg).count("a") == texts(svg).count("b") == 1


def test_a_training_has_a_picture_of_losses_and_one_of_accuracies() -> None:
    rows = [{"epoch": 1, "loss": 0.5, "val_accuracy": 0.9}, {"epoch": 2, "loss": 0.25, "val_accuracy": 0.93}]
    (loss, _), (accuracy, picture) = curve_pictures({"title": "QAT", "rows": rows})
    assert loss == "loss from 0.5 to 0.25"
    assert accuracy == "val_accuracy from 90.00 % to 93.00 %"
    assert {"1", "2", "epoch", "accuracy, %"} <= set(texts(picture))


def test_an_epoch_without_a_number_is_left_out() -> None:
    rows = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": None}, {"epoch": 3, "loss": float("nan")}]
    ((said, picture),) = curve_pictures({"title": "t", "rows": rows})
    assert said == "loss from 1 to 1"
    assert len(centres(picture)) == 1


def test_steps_of_pruning_are_parts_of_the_first() -> None:
    svg = draw_steps(a_manifest()["steps"])
    label = str(tree(svg).get("aria-label"))
    assert "MACs left 50.0 %" in label
    assert "parameters left 25.0 %" in label
    assert "accuracy 94.0 %" in label
    assert {"unpruned", "pruned", "recovered"} <= set(texts(svg))


def test_the_worst_layers_have_their_names_and_every_operator_its_marker() -> None:
    errors = [40, 12, 39, 11, 38, 10, 37]
    layers = [{"layer": f"l{k}", "op": ("conv2d", "mul")[k % 2], "sqnr_db": float(e)} for k, e in enumerate(errors)]
    svg = draw_layers(layers, 1040, "wide")
    assert sorted(texts(svg, "label")) == ["l1", "l3", "l5"]
    assert {"conv2d", "mul"} <= set(texts(svg))
    assert "lowest l5 10.0 dB, l3 11.0 dB, l1 12.0 dB" in svg


def test_one_layer_is_a_picture_too() -> None:
    assert texts(draw_layers([{"layer": "only", "op": "x", "sqnr_db": 3.0}], 360, "narrow"), "label") == ["only"]


# Ranges


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [
        (0.5, 0, (-64.0, 63.5)),
        ([0.5], [28], (-78.0, 49.5)),  # (-128 - 28) * 0.5 and (127 - 28) * 0.5
        ([0.25, 0.5], 0, (-64.0, 63.5)),
    ],
)
def test_int8_holds_256_steps(scale: object, zero: object, expected: tuple[float, float]) -> None:
    assert int8_span({"scale": scale, "zero_point": zero}) == expected


def test_without_a_scale_int8_holds_nothing_known() -> None:
    assert int8_span({"zero_point": 0}) is None


def test_a_histogram_shows_the_ends_of_int8() -> None:
    spread = {"edges": [0.0, 1.0, 2.0], "counts": [10, 1000], "scale": 0.01, "zero_point": -128}
    svg = draw_histogram("conv", spread)
    assert len([line for line in tree(svg).iter("line") if line.get("class") == "dashed"]) == 2
    assert "from 0 to 2; int8 holds 0 to 2.55" in svg
    assert {"1", "10", "100", "1,000"} <= set(texts(svg, "tick"))


def test_a_constant_tensor_has_a_picture() -> None:
    assert "nan" not in draw_histogram("conv", {"edges": [0.0, 0.0], "counts": [9], "scale": 0.0, "zero_point": 0})


def test_every_channel_is_a_dot() -> None:
    svg = draw_scales("conv", [0.1, 0.2, 0.3])
    (dots,) = [p for p in tree(svg).iter("path") if "dots" in (p.get("class") or "")]
    assert (dots.get("d") or "").count("M") == 3
    assert texts(svg, "tick").count("2") == 1  # three channels: 0, 1, 2
