"""Pictures of measurements, as .svg or .png. The same numbers give the same bytes of an .svg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attendc.errors import OutputError
from attendc.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SensitivityPicture", "check_picture", "draw_sensitivity", "figure_of"]

_KINDS = (".svg", ".png")
_SETTINGS: Any = {
    "svg.hashsalt": "attendc",
    "svg.fonttype": "none",  # words stay words: they can be searched and copied
    "font.family": "sans-serif",
    "font.size": 8.0,
    "text.parse_math": False,  # a $ in a name is a $
}
_ROW, _COLUMN, _GAP, _CHARACTER = 0.21, 0.72, 0.16, 0.073  # inches; the last is of 8 points
_RIGHT, _TOP, _BOTTOM = 1.05, 1.02, 0.42
_NARROWEST = 6.9
_MEANING = (
    "points of top-1 accuracy lost; negative: gained; bold: a block; "
    "empty: cannot be pruned, or only together with another row"
)
_SHOWN = 0.05
"""Points below which a number would be written as 0.0."""


@dataclass(frozen=True)
class SensitivityPicture:
    """What the picture of a sensitivity shows.

    Attributes:
        title: in bold, above.
        note: below the title: what was measured, and on what.
        parts: names of the rows, from top to bottom.
        blocks: those of them that are blocks; bold.
        columns: titles of the columns, in sets that stand apart: title of the set -> titles.
        lost: part -> column -> accuracy lost, in points; a cell that is not there is left empty.
    """

    title: str
    note: str
    parts: Sequence[str]
    blocks: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    lost: Mapping[str, Mapping[str, float]]


def check_picture(path: Path) -> None:
    """Check that the name of a picture says which kind it is.

    Raises:
        OutputError: if it ends neither in .svg nor in .png.
    """
    if path.suffix.lower() not in _KINDS:
        raise OutputError(f"{path} is no name of a picture", hint="End it in .svg or .png")


def draw_sensitivity(path: Path, picture: SensitivityPicture) -> None:
    """Write a table of coloured cells: a row for each part, accuracy lost in points in each cell.

    Raises:
        OutputError: if the file cannot be written, or its name says of no kind that is known.
    """
    import matplotlib as mpl

    check_picture(path)
    kind = path.suffix.lower()[1:]
    with mpl.rc_context():
        figure = figure_of(picture)
        with replace_file(path) as beside:
            figure.savefig(beside, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {})


def figure_of(picture: SensitivityPicture) -> Figure:
    """Return the figure, drawn with matplotlib's own settings and ours, whatever the user's are; they stay set."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mpl.rcdefaults()
    mpl.rcParams.update(_SETTINGS)
    figure = Figure(figsize=_size(picture))
    FigureCanvasAgg(figure)
    _draw(figure, picture)
    return figure


def _left(picture: SensitivityPicture) -> float:
    """Return the width of the names, in inches."""
    return 0.3 + _CHARACTER * max((len(p) for p in picture.parts), default=0)


def _cells_width(picture: SensitivityPicture) -> float:
    sets = list(picture.columns.values())
    return _COLUMN * sum(len(s) for s in sets) + _GAP * (len(sets) - 1)


def _size(picture: SensitivityPicture) -> tuple[float, float]:
    width = _left(picture) + _cells_width(picture) + _RIGHT
    words = 0.2 + _CHARACTER * max(len(picture.note), 1.25 * len(picture.title))
    return max(width, words, _NARROWEST), _TOP + _ROW * len(picture.parts) + _BOTTOM


def _draw(figure: Figure, picture: SensitivityPicture) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 1 - 0.14 / height, picture.title, fontsize=10.5, fontweight="bold", va="top")
    figure.text(0.12 / width, 1 - 0.38 / height, picture.note, color="0.35", va="top")
    shades = colormaps["YlOrRd"].copy()
    norm = PowerNorm(0.5, 0, 100, clip=True)  # the same in every picture, and finer near nothing lost
    rows = _ROW * len(picture.parts)
    box = (_left(picture) / width, _BOTTOM / height, _cells_width(picture) / width, rows / height)
    axes = figure.add_axes(box)
    _draw_cells(axes, picture, lambda lost: shades(norm(max(lost, 0.0))))
    _draw_legend(figure, (box[0] + box[2] + 0.25 / width, 0.14 / width), picture, norm, shades)
    figure.text(0.12 / width, 0.12 / height, _MEANING, color="0.35", fontsize=7)


def _draw_cells(axes: Axes, picture: SensitivityPicture, shade: Any) -> None:
    axes.set_xlim(0, _cells_width(picture))
    axes.set_ylim(len(picture.parts), 0)
    axes.axis("off")
    for row, part in enumerate(picture.parts):
        weight = "bold" if part in picture.blocks else "normal"
        axes.text(-0.08, row + 0.5, part, ha="right", va="center", fontweight=weight)
    left = 0.0
    for title, columns in picture.columns.items():
        axes.annotate(title, (left + _COLUMN * len(columns) / 2, 0), (0, 17), **_ABOVE, color="0.35")
        for column in columns:
            axes.annotate(column, (left + _COLUMN / 2, 0), (0, 4), **_ABOVE)
            for row, part in enumerate(picture.parts):
                _draw_cell(axes, (left, row), picture.lost.get(part, {}).get(column), shade)
            left += _COLUMN
        left += _GAP


_ABOVE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom", "annotation_clip": False}


def _draw_cell(axes: Axes, corner: tuple[float, float], lost: float | None, shade: Any) -> None:
    from matplotlib.patches import Rectangle

    colour = "0.955" if lost is None else shade(lost)
    axes.add_patch(Rectangle(corner, _COLUMN, 1, facecolor=colour, edgecolor="white", linewidth=1))
    if lost is not None:
        dark = sum(f * c for f, c in zip((0.299, 0.587, 0.114), colour[:3], strict=True)) < 0.5
        middle = (corner[0] + _COLUMN / 2, corner[1] + 0.5)
        axes.text(*middle, _number(lost), ha="center", va="center", color="white" if dark else "0.15")


def _number(lost: float) -> str:
    return "0" if abs(lost) < _SHOWN else f"{lost:.1f}"


def _draw_legend(
    figure: Figure, across: tuple[float, float], picture: SensitivityPicture, norm: Any, shades: Any
) -> None:
    """Draw the scale of colours right of the cells, at their top, at most as high as 16 rows."""
    from matplotlib.cm import ScalarMappable

    _, height = figure.get_size_inches()
    rows = _ROW * len(picture.parts)
    high = min(rows, _ROW * 16)
    place = (across[0], (_BOTTOM + rows - high) / height, across[1], high / height)
    ticks = [0, 1, 5, 20, 50, 100] if high > 1 else [0, 100]
    bar = figure.colorbar(ScalarMappable(norm, shades), cax=figure.add_axes(place), ticks=ticks)
    bar.ax.set_yticklabels([str(t) for t in ticks])
    bar.outline.set_visible(False)
    bar.ax.set_title("points", fontsize=8, pad=8)
