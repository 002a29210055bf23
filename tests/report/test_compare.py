"""Runs beside each other: which one is worse, and what else to know."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from made_up_runs import a_manifest

from attendc.errors import UsageError
from attendc.report.compare import Comparison, Entry, compare_runs, comparison_json
from attendc.report.compare_page import render_comparison


def another(**accuracy: float) -> dict[str, Any]:
    """Return the same run with other accuracies."""
    found = copy.deepcopy(a_manifest())
    found["verification"]["accuracy"].update(accuracy)
    return found


def compared(other: dict[str, Any], **options: float) -> Comparison:
    return compare_runs([("a", a_manifest()), ("b", other)], **options)


def entries(comparison: Comparison) -> dict[str, tuple[Entry, ...]]:
    return {row.name: row.entries for row in comparison.rows}


def test_equal_runs_differ_in_nothing() -> None:
    found = compared(a_manifest())
    assert (found.worst_drop, found.worse, found.notes) == (0.0, (), ())
    assert {(b.more_bytes, b.more_points) for _, b in entries(found).values()} == {(0, 0.0), (None, 0.0), (0, None)}


def test_rows_are_the_float_network_the_graph_and_every_file_but_not_the_witness() -> None:
    names = ["float", "graph", "tflite", "onnx", "tflite_float32", "model.int8.pt2"]
    assert list(entries(compared(a_manifest()))) == names


def test_differences_are_those_to_the_first_run() -> None:
    smaller = another(tflite=0.95)
    smaller["outputs"]["model.int8.tflite"]["bytes"] = 200_000
    a, b = entries(compared(smaller))["tflite"]
    assert a == Entry(True, 260_000, 0.945, None, None)
    assert b == Entry(True, 200_000, 0.95, -60_000, 0.5)


@pytest.mark.parametrize(("accuracy", "worse"), [(0.945, False), (0.935, False), (0.9349, True), (0.96, False)])
def test_a_run_is_worse_from_more_than_the_allowed_points_on(accuracy: float, worse: bool) -> None:
    # 94.5 % - 93.5 % is exactly one point, which floats do not know.
    assert bool(compared(another(tflite=accuracy)).worse) is worse


def test_the_float_network_counts_too() -> None:
    found = compared(another(float=0.90), max_drop=2)
    assert found.worst_drop == pytest.approx(5.0)
    assert found.worse == ("float of b reaches 90.00 %, that of a 95.00 %: 5.00 points lost, 2 allowed",)


def test_the_witness_does_not_count() -> None:
    assert compared(another(tflite_reference=0.1)).worse == ()


def test_a_missing_artefact_is_worse() -> None:
    less = a_manifest()
    del less["outputs"]["model.int8.onnx"]
    del less["verification"]["accuracy"]["onnx"]
    found = compared(less)
    assert found.worse == ("b has no onnx, a has",)
    assert not entries(found)["onnx"][1].there


def test_an_artefact_that_only_the_other_has_is_not() -> None:
    less = a_manifest()
    del less["outputs"]["model.int8.onnx"]
    del less["verification"]["accuracy"]["onnx"]
    found = compare_runs([("a", less), ("b", a_manifest())])
    assert found.worse == ()
    assert [e.there for e in entries(found)["onnx"]] == [False, True]


def test_what_only_the_first_measured_may_be_worse_for_all_that_is_known() -> None:
    found = compared(a_manifest(verification=None, gates=[]))
    assert "b did not measure the accuracy of tflite, a reached 94.50 %" in found.worse
    assert "b did not measure the accuracy of float, a reached 95.00 %" in found.worse
    assert "b is not proven: it verified nothing" in found.notes
    assert found.worst_drop is None


def test_all_runs_are_held_against_the_first() -> None:
    runs = [("a", a_manifest()), ("b", another(onnx=0.93)), ("c", another(onnx=0.92))]
    found = compare_runs(runs)
    assert found.worst_drop == pytest.approx(94.4 - 92.0)
    assert [text.split(":")[0] for text in found.worse] == [
        "onnx of b reaches 93.00 %, that of a 94.40 %",
        "onnx of c reaches 92.00 %, that of a 94.40 %",
    ]


def test_a_run_that_is_better_everywhere_has_a_negative_drop() -> None:
    better = {n: a + 0.01 for n, a in a_manifest()["verification"]["accuracy"].items()}
    assert compared(another(**better)).worst_drop == pytest.approx(-1.0)


def test_other_data_and_another_number_of_images_are_said() -> None:
    other = another()
    other["inputs"]["data"] = "cats.npz"
    other["verification"]["images"] = 50
    data, images = compared(other).notes
    assert data.startswith("Not measured on images of the same data (a: fashion-mnist-mini, b: cats.npz)")
    assert images.startswith("Not measured on the same number of images (a: 1000, b: 50)")


def test_a_run_that_failed_its_own_gates_is_said() -> None:
    assert compared({**a_manifest(), "gates": [{"passed": False}]}).notes == ("b failed its own gates",)


def test_one_run_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="1 run"):
        compare_runs([("a", a_manifest())])


def test_json_says_whether_it_passed() -> None:
    found = comparison_json(compared(another(onnx=0.9)))
    assert (found["schema"], found["passed"]) == (1, False)
    assert comparison_json(compared(a_manifest()))["passed"]
    assert json.loads(json.dumps(found, allow_nan=False))["runs"] == ["a", "b"]


def test_the_page_tells_verdict_numbers_and_what_else_differs() -> None:
    other = another(onnx=0.93)
    other["recipe"]["stages"][0]["quantize"]["qat"] = False
    page = render_comparison(compared(other), [a_manifest(), other])
    for words in ("Worse", "1.40 points", "93.00 %", "recipe.stages[1].quantize.qat", "<td>True</td><td>False</td>"):
        assert words in page
    assert "recipe.name" not in page


def test_the_page_of_equal_runs_says_so() -> None:
    page = render_comparison(compared(a_manifest()), [a_manifest(), a_manifest()])
    assert "Passed" in page
    assert "Nothing: settings, inputs, seed and versions are the same." in page


def test_where_nothing_was_measured_twice_nothing_is_proven() -> None:
    bare = a_manifest(verification=None, gates=[])
    page = render_comparison(compare_runs([("a", bare), ("b", bare)]), [bare, bare])
    assert "Not proven" in page
    assert "No accuracy was measured both in a and in another run." in page


def test_names_of_runs_are_only_words_in_the_page() -> None:
    page = render_comparison(compare_runs([("<b>", a_manifest()), ("&", a_manifest())]), [a_manifest()] * 2)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
