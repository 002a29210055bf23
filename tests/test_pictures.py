"""Pictures: every name and number is in them, the same bytes every time, nothing overlaps."""

from __future__ import annotations

import dataclasses
import re
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from attendc.errors import OutputError
from attendc.pictures import SensitivityPicture, draw_sensitivity, figure_of

PARTS = ["stem.0", "stages.0.1", "stages.0.1.stack.0.0", "head"]
PICTURE = SensitivityPicture(
    title="net: accuracy lost",
    note="1,000 training images",
    parts=PARTS,
    blocks=["stages.0.1"],
    columns={"channels": ["keep 0.75", "keep 0.25"], "block": ["removed"], "quantized": ["int8"]},
    lost={
        "stem.0": {"keep 0.75": 0.3, "keep 0.25": 68.7, "int8": -0.1},
        "stages.0.1": {"removed": 60.84, "int8": 0.04},
        "stages.0.1.stack.0.0": {"int8": -0.04},
    },
)
RED, EMPTY = (128, 0, 38), (244, 244, 244)
"""The last colour of the scale, and 0.955 of 255."""


def drawn(path: Path, picture: SensitivityPicture = PICTURE) -> Path:
    draw_sensitivity(path, picture)
    return path


def words(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_it_has_title_note_names_and_columns(tmp_path: Path) -> None:
    found = words(drawn(tmp_path / "s.svg"))
    for text in (PICTURE.title, PICTURE.note, *PARTS, "keep 0.75", "keep 0.25", "removed", "int8", "points"):
        assert found.count(text) == 1, text
    for text in PICTURE.columns:
        assert text in found


def test_numbers_have_one_decimal_and_nothing_lost_is_0(tmp_path: Path) -> None:
    found = words(drawn(tmp_path / "s.svg"))
    scale = ["0", "100"]  # what four rows leave room for
    numbers = sorted(w for w in found if re.fullmatch(r"-?[\d.]+", w))
    assert numbers == sorted(["0.3", "68.7", "-0.1", "60.8", "0", "0", *scale])


def test_blocks_are_bold(tmp_path: Path) -> None:
    text = drawn(tmp_path / "s.svg").read_text()
    style = {name: re.search(rf'style="([^"]*)"[^>]*>{re.escape(name)}<', text)[1] for name in PARTS}  # type: ignore[index]
    assert [name for name, how in style.items() if "700" in how or "bold" in how] == ["stages.0.1"]


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (drawn(tmp_path / f"{n}.svg").read_bytes() for n in "ab")
    assert first == second
    assert b"<dc:date>" not in first


def test_signs_in_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    odd = dataclasses.replace(PICTURE, title="a $x_1$ & <b>", parts=["$y^2$"], lost={})
    text = drawn(tmp_path / "s.svg", odd).read_text()
    assert "a $x_1$ &amp; &lt;b&gt;" in text
    assert ">$y^2$<" in text


@pytest.mark.parametrize(("lost", "colour"), [(100.0, RED), (1000.0, RED), (None, EMPTY)])
def test_a_cell_is_as_red_as_much_is_lost_and_grey_without_a_number(
    tmp_path: Path, lost: float | None, colour: tuple[int, int, int]
) -> None:
    cells = {} if lost is None else {"head": {"int8": lost}}
    one = dataclasses.replace(PICTURE, parts=["head"], columns={"quantized": ["int8"]}, lost=cells)
    path = drawn(tmp_path / "s.png", one)
    with Image.open(path) as image:
        counted = image.convert("RGB").getcolors(1 << 24)
    assert counted is not None
    sizes = {c: n for n, c in counted}
    assert sizes.get(colour, 0) > 0.5 * (0.72 * 160) * (0.21 * 160)  # most of a cell of so many inches at 160 dots


@pytest.mark.parametrize("rows", [1, 16, 80])
@pytest.mark.parametrize("name", ["head", "backbone.stages.10.blocks.11.attention.projection.conv"])
def test_words_neither_overlap_nor_leave_the_picture(rows: int, name: str) -> None:
    parts = [f"{name}.{i}" for i in range(rows)]
    many = dataclasses.replace(
        PICTURE, parts=parts, blocks=parts[::5], lost={p: {"keep 0.75": -10.5, "int8": 100.0} for p in parts}
    )
    with matplotlib.rc_context():
        figure = figure_of(many)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.findobj(Text) if t.get_text()]
    boxes = [(text, box) for text, box in boxes if box.width > 1]  # what is not drawn has one pixel
    assert len(boxes) > 3 * rows
    for text, box in boxes:
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.width, text
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.height, text
    for (first, one), (second, other) in combinations(boxes, 2):
        apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
        assert apart, f"{first!r} lies over {second!r}"


@pytest.mark.parametrize("name", ["s.jpg", "s", "s.svgz"])
def test_another_kind_of_picture_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"is no name of a picture\. End it in \.svg or \.png"):
        drawn(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot write"):
        drawn(tmp_path / "file" / "s.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
