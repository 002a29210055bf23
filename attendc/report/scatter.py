"""Size against accuracy: a point for each artefact, each with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.labels import draw_labels
from attendc.report.svg import Drawing
from attendc.report.words import percent, short_bytes

__all__ = ["Point", "draw_sizes"]

_WIDTH, _HEIGHT, _RADIUS = 400, 300, 5


@dataclass(frozen=True)
class Point:
    """One artefact: `kind` is a class of colour, `shape` one of MARKERS."""

    label: str
    bytes: int
    accuracy: float
    shape: str
    kind: str


def draw_sizes(points: Sequence[Point], *, level: float | None = None) -> Markup:
    """Draw accuracy over bytes; `level` is the accuracy of the float network, a dashed line.

    Args:
        points: one at least.
        level: 0..1, None where it is not known.
    """
    said = "; ".join(f"{p.label}: {short_bytes(p.bytes)}, {percent(p.accuracy)}" for p in points)
    drawing = Drawing(_WIDTH, _HEIGHT, f"Size against accuracy. {said}")
    frame = _frame(points, level)
    draw_frame(drawing, frame)
    if level is not None:
        drawing.line((frame.left, frame.y(100 * level)), (frame.right, frame.y(100 * level)), "dashed")
    places = [frame.at(p.bytes, 100 * p.accuracy) for p in points]
    draw_labels(drawing, frame, [(at, p.label) for at, p in zip(places, points, strict=True)], places, _RADIUS)
    for point, place in zip(points, places, strict=True):
        told = f"{point.label}: {point.bytes:,} bytes, {percent(point.accuracy)}"
        drawing.marker(point.shape, place, _RADIUS, point.kind, told)
    return drawing.markup()


def _frame(points: Sequence[Point], level: float | None) -> Frame:
    reached = [100 * p.accuracy for p in points] + ([] if level is None else [100 * level])
    largest = 1.12 * max(p.bytes for p in points)
    low, high = around(reached, room=0.25, least=0.4)
    marks = ticks(low, high, 5)
    digits = 2 if len(marks) > 1 and marks[1] - marks[0] < 0.095 else 1
    up = Axis("top-1 accuracy, %", (low, high), marks, lambda v: f"{v:.{digits}f}")
    across = Axis("bytes of the file", (0, largest), ticks(0, largest, 5), short_bytes)
    return Frame(46, 28, _WIDTH - 12, _HEIGHT - 42, across, up)
