"""Names beside points that cover neither each other nor a point."""

from __future__ import annotations

from collections.abc import Sequence

from attendc.report.axes import Frame
from attendc.report.svg import CHARACTER, Drawing, shorten

__all__ = ["FONT", "draw_labels"]

FONT = 11
_LONGEST = 40
Box = tuple[float, float, float, float]
Place = tuple[float, float]


def draw_labels(
    drawing: Drawing, frame: Frame, labels: Sequence[tuple[Place, str]], points: Sequence[Place], radius: float
) -> None:
    """Write each label near its place, with a line to it where it does not stand right beside it.

    Args:
        drawing: what is drawn on.
        frame: what the labels stay in.
        labels: place and words.
        points: everything that must not be covered.
        radius: of the points.
    """
    taken = [(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    for place, name in sorted(labels, key=lambda one: one[0][1]):
        words = shorten(name, _LONGEST)
        box = _free_box(place, words, radius, frame, taken)
        taken.append(box)
        middle = (box[1] + box[3]) / 2
        if abs(middle - place[1]) > radius:
            end = (min(max(place[0], box[0]), box[2]), box[3] if middle < place[1] else box[1])
            drawing.line(place, end, "leader")
        drawing.text((box[0], middle + 0.35 * FONT), words, kind="label")


def _free_box(place: Place, words: str, radius: float, frame: Frame, taken: Sequence[Box]) -> Box:
    """Return where the words cover nothing: beside the point, or above or below it as far as it needs."""
    x, y = place
    wide = CHARACTER * FONT * len(words)
    centred = min(max(x - wide / 2, frame.left + 2), frame.right - wide)
    lefts = [x + radius + 4, x - radius - 4 - wide, centred]
    steps = [0.0, *(sign * FONT * 1.25 * k for k in range(1, 12) for sign in (-1, 1))]
    boxes = [(left, y + step - FONT / 2, left + wide, y + step + FONT / 2) for step in steps for left in lefts]
    free = (box for box in boxes if _inside(box, frame) and not any(_overlap(box, other) for other in taken))
    return next(free, (centred, y - FONT / 2, centred + wide, y + FONT / 2))


def _inside(box: Box, frame: Frame) -> bool:
    return frame.left <= box[0] and box[2] <= frame.right and frame.top <= box[1] and box[3] <= frame.bottom


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
