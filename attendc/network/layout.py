"""Where the boxes of a drawing stand and how its lines run: rows from top to bottom, no box over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attendc.network.order import ordered
from attendc.network.place import coordinates
from attendc.network.ranks import rows_of

__all__ = ["Box", "Layout", "lay_out"]

_GAP, _ROW_GAP, _PASSAGE = 16.0, 26.0, 8.0


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Boxes and lines in the order in which they were given, and the size of the whole.

    A line is a list of points from box to box; where it does not run straight down it bends between two rows.
    """

    boxes: tuple[Box, ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


def lay_out(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """Return a place for each box of these (width, height); `edges` are pairs of their numbers, without cycles."""
    if not sizes:
        return Layout((), (), 0.0, 0.0)
    rows = rows_of(len(sizes), edges)
    layers = ordered(rows)
    widths = [sizes[v][0] if v < rows.boxes else _PASSAGE for v in range(len(rows.row))]
    middles = coordinates(layers, rows.neighbours(), widths, rows.boxes, _GAP)
    tops, bottoms = _heights(layers, sizes)
    boxes = tuple(
        Box(middles[v] - width / 2, tops[rows.row[v]], width, height) for v, (width, height) in enumerate(sizes)
    )
    lines = tuple(_line(chain, boxes, middles, rows.row, (tops, bottoms)) for chain in rows.chains)
    right = max(m + w / 2 for m, w in zip(middles, widths, strict=True))
    return Layout(boxes, lines, right, bottoms[-1])


def _heights(layers: list[list[int]], sizes: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return top and bottom of each row."""
    tops, bottoms, y = [], [], 0.0
    for layer in layers:
        tops.append(y)
        bottoms.append(y + max((sizes[v][1] for v in layer if v < len(sizes)), default=0.0))
        y = bottoms[-1] + _ROW_GAP
    return tops, bottoms


def _line(
    chain: Sequence[int],
    boxes: Sequence[Box],
    middles: Sequence[float],
    row: Sequence[int],
    ends: tuple[list[float], list[float]],
) -> tuple[tuple[float, float], ...]:
    tops, bottoms = ends
    source = boxes[chain[0]]
    points = [(middles[chain[0]], source.y + source.height), (middles[chain[0]], bottoms[row[chain[0]]])]
    for vertex in chain[1:-1]:
        points += [(middles[vertex], tops[row[vertex]]), (middles[vertex], bottoms[row[vertex]])]
    return (*points, (middles[chain[-1]], boxes[chain[-1]].y))
