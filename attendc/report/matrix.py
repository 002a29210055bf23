"""Which runners give the same class: a table of cells, a number in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from attendc.report.svg import Drawing, shorten
from attendc.report.words import MISSING, percent
from attendc.targets import core_of_runner

__all__ = ["Agreement", "agreement_of", "draw_agreement"]

_WIDTH, _TOP, _ROW, _LONGEST = 400, 30, 27, 24
_FULL = 0.03
"""Part of the images: disagreement from which on a cell has its full colour."""


@dataclass(frozen=True)
class Agreement:
    """Attributes:
    names: of the runners.
    matrix: row and column by runner; part of the images on which both give the same class, None: not compared.
    images: how many each part was counted on.
    """

    names: tuple[str, ...]
    matrix: tuple[tuple[float | None, ...], ...]
    images: tuple[tuple[int | None, ...], ...]

    @property
    def most(self) -> int | None:
        """Return the largest number of images."""
        return max((n for row in self.images for n in row if n is not None), default=None)


def agreement_of(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> Agreement | None:
    """Return the agreement of all runners: that of the evidence, else what the verification compared."""
    found = (evidence or {}).get("agreement")
    if found:
        rows = tuple(tuple(row) for row in found["matrix"])
        counts = found.get("images") or [[None] * len(rows)] * len(rows)
        return Agreement(tuple(map(str, found["names"])), rows, tuple(tuple(row) for row in counts))
    pairs = (manifest.get("verification") or {}).get("pairs") or ()
    here = [pair for pair in pairs if not core_of_runner(pair["a"]) and not core_of_runner(pair["b"])]
    return _from_pairs(here) if here else None


def _from_pairs(pairs: Sequence[Mapping[str, Any]]) -> Agreement:
    names = tuple(dict.fromkeys(str(pair[side]) for pair in pairs for side in ("a", "b")))
    known = {frozenset((pair["a"], pair["b"])): pair for pair in pairs}
    cells = [[known.get(frozenset((a, b))) for b in names] for a in names]
    parts = [
        [1.0 if a == b else None if c is None else float(c["top1_agreement"]) for b, c in zip(names, row, strict=True)]
        for a, row in zip(names, cells, strict=True)
    ]
    counts = [[None if c is None else int(c["images"]) for c in row] for row in cells]
    return Agreement(names, tuple(map(tuple, parts)), tuple(map(tuple, counts)))


def draw_agreement(found: Agreement) -> Markup:
    """Draw a cell for each two runners: the number is the agreement in percent, the shade what misses to 100 %."""
    names = found.names
    left = 26 + 6.2 * min(max(len(name) for name in names), _LONGEST)
    wide = (_WIDTH - left - 4) / len(names)
    said = "; ".join(
        f"{a} and {b}: {percent(found.matrix[i][j])}"
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j and found.matrix[i][j] is not None
    )
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(names) + 6, f"Agreement of top-1 classes. {said}")
    for i, name in enumerate(names):
        drawing.text((18, _TOP + _ROW * i + 18), str(i + 1), anchor="end", kind="tick")
        drawing.text((24, _TOP + _ROW * i + 18), shorten(name, _LONGEST), kind="label")
        drawing.text((left + wide * (i + 0.5), _TOP - 8), str(i + 1), anchor="middle", kind="tick")
        for j in range(len(names)):
            _draw_cell(drawing, found, (i, j), (left + wide * j, _TOP + _ROW * i), (wide - 2, _ROW - 2))
    return drawing.markup()


def _draw_cell(
    drawing: Drawing, found: Agreement, place: tuple[int, int], corner: tuple[float, float], size: tuple[float, float]
) -> None:
    part, count = found.matrix[place[0]][place[1]], found.images[place[0]][place[1]]
    if place[0] == place[1] or part is None:
        drawing.box(corner, size, "empty")
    else:
        drawing.box(corner, size, "same")
        drawing.box(corner, size, "differ", shade=min((1 - part) / _FULL, 1.0) * 0.75)
    words = "" if place[0] == place[1] else _short(part, 2 if size[0] > 40 else 1)
    fewer = "*" if count is not None and found.most is not None and count < found.most and words else ""
    drawing.text((corner[0] + size[0] / 2, corner[1] + 17), words + fewer, anchor="middle", kind="cell")


def _short(part: float | None, digits: int) -> str:
    """Return 0.992 as 99.2 and 1.0 as 100; never 100 for less than all."""
    if part is None:
        return MISSING
    return "100" if part == 1 else f"{min(100 * part, 100 - 0.1**digits):.{digits}f}"
