"""The picture of an exploration: the accuracy of every trial over its instructions, and the Pareto front among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.labels import draw_labels
from attendc.report.lines import draw_legend
from attendc.report.svg import Drawing
from attendc.report.words import percent, short_count

__all__ = ["LOOKS", "Dot", "draw_front"]

LOOKS = {
    "pruned": ("stopped", "down", "open c5", 3.5),
    "running": ("running", "triangle", "open c5", 3.5),
    "complete": ("finished", "circle", "open c0", 4.0),
    "front": ("front", "circle", "mark c0", 5.0),
    "baseline": ("baseline", "square", "mark c1", 5.5),
    "winner": ("winner", "diamond", "mark c2", 6.0),
}
"""What a trial is -> its words in the legend, shape, class of colour and radius; later ones are drawn on top."""

_HEIGHT = 380
_MOST_BELOW = 0.25
"""Part of the trials trained to the end that may lie below the picture, at its lower edge: else one that learned
nothing would press all others to the upper edge. Those that were stopped early may all lie there."""


@dataclass(frozen=True)
class Dot:
    """One trial.

    Attributes:
        name: what stands beside it in the picture; empty: nothing.
        told: what it is called when a mouse rests on it.
        accuracy: 0..1.
        instructions: of one inference.
        kind: one of LOOKS.
    """

    name: str
    told: str
    accuracy: float
    instructions: float
    kind: str


def draw_front(dots: Sequence[Dot], line: Sequence[tuple[float, float]], core: str, width: int, kind: str) -> Markup:
    """Draw the trials, the front as a staircase, and what the baseline reaches as two dashed lines.

    Args:
        dots: one at least.
        line: (instructions, accuracy 0..1) of the front, the cheapest first.
        core: whose instructions they are.
        width: of the picture.
        kind: class of the picture: `wide` or `narrow`.
    """
    said = "; ".join(f"{d.told}: {percent(d.accuracy)}, {short_count(d.instructions)}" for d in dots if d.name)
    drawing = Drawing(width, _HEIGHT, f"Accuracy against instructions of {len(dots)} trials. {said}", kind=kind)
    frame = _frame(dots, core, width)
    draw_frame(drawing, frame)
    for base in (d for d in dots if d.kind == "baseline"):
        x, y = frame.at(base.instructions, 100 * base.accuracy)
        drawing.line((frame.left, y), (frame.right, y), "dashed")
        drawing.line((x, frame.top), (x, frame.bottom), "dashed")
    drawing.path([frame.at(x, 100 * y) for x, y in _staircase(line)], "line c0")
    ordered = sorted(dots, key=lambda d: list(LOOKS).index(d.kind))
    places = [_place(frame, d) for d in ordered]
    draw_labels(drawing, frame, [(at, d.name) for at, d in zip(places, ordered, strict=True) if d.name], places, 5)
    for dot, place in zip(ordered, places, strict=True):
        _, shape, colour, radius = LOOKS[dot.kind]
        told = f"{dot.told}: {percent(dot.accuracy)}, {dot.instructions:,.0f} instructions"
        drawing.marker(shape, place, radius, colour, told)
    kinds = dict.fromkeys(d.kind for d in reversed(ordered))
    draw_legend(drawing, [LOOKS[name][:3] for name in kinds], 8)
    return drawing.markup()


def _place(frame: Frame, dot: Dot) -> tuple[float, float]:
    """Return where it lies; what is less accurate than the picture shows lies at its lower edge."""
    x, y = frame.at(dot.instructions, 100 * dot.accuracy)
    return x, min(y, frame.bottom)


def _staircase(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of what can be had: the accuracy of one design up to the instructions of the next."""
    corners = list(line[:1])
    for (_, low), (x, high) in pairwise(line):
        corners += [(x, low), (x, high)]
    return corners


def _frame(dots: Sequence[Dot], core: str, width: int) -> Frame:
    ended = [d for d in dots if d.kind not in ("pruned", "running")] or dots
    reached = sorted(100 * d.accuracy for d in ended)
    lowest = min([reached[int(_MOST_BELOW * len(reached))], *(100 * d.accuracy for d in dots if d.name)])
    low, high = around([lowest, 100 * max(d.accuracy for d in dots)], least=0.4)
    costs = [d.instructions for d in dots]
    left, right = around(costs, least=0.02 * max(costs))
    up = Axis("accuracy on held-out images, %", (low, high), ticks(low, high, 6), lambda v: f"{v:g}")
    title = f"int8 instructions of one inference on {core}"
    across = Axis(title, (left, right), ticks(left, right, width // 80), short_count)
    return Frame(46, 48, width - 14, _HEIGHT - 42, across, up)
