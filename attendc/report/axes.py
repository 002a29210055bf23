"""The frame of a picture: where numbers come to lie, and the ticks beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attendc.report.svg import Drawing

__all__ = ["Axis", "Frame", "around", "draw_frame", "ticks"]

Span = tuple[float, float]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers (1, 2, 5 times a power of ten) from low to high."""
    rough = (high - low) / most
    if rough <= 0 or not math.isfinite(rough):
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10, 20) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def around(values: Sequence[float], *, room: float = 0.08, least: float = 0.0) -> Span:
    """Return a span that holds the values with some room at both ends, and is at least `least` wide."""
    low, high = min(values), max(values)
    missing = max(least - (high - low), 0.0) / 2
    low, high = low - missing, high + missing
    margin = room * (high - low) or 0.5
    return low - margin, high + margin


@dataclass(frozen=True)
class Axis:
    """Attributes:
    title: what is counted, with its unit.
    span: smallest and largest number.
    marks: where a tick stands.
    write: how a tick is written.
    log: whether the scale is logarithmic; the span is then above zero.
    """

    title: str
    span: Span
    marks: Sequence[float]
    write: Callable[[float], str]
    log: bool = False

    def part(self, value: float) -> float:
        """Return where a number lies, 0 at the low end and 1 at the high end."""
        low, high = self.span
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.span[0]))
        return (value - low) / ((high - low) or 1.0)


@dataclass(frozen=True)
class Frame:
    """The box between the axes, in units of the drawing; `edge` is where the title of the vertical axis starts."""

    left: float
    top: float
    right: float
    bottom: float
    across: Axis
    up: Axis
    edge: float = 2

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pair of numbers lies."""
        return self.x(x), self.y(y)

    def x(self, value: float) -> float:
        """Return the place of a number on the horizontal axis."""
        return self.left + self.across.part(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the place of a number on the vertical axis."""
        return self.bottom - self.up.part(value) * (self.bottom - self.top)


def draw_frame(drawing: Drawing, frame: Frame) -> None:
    """Draw grid, ticks and titles; the title of the vertical axis stands above it."""
    for value in frame.up.marks:
        y = frame.y(value)
        drawing.line((frame.left, y), (frame.right, y), "grid")
        drawing.text((frame.left - 6, y + 4), frame.up.write(value), anchor="end", kind="tick")
    for value in frame.across.marks:
        x = frame.x(value)
        drawing.line((x, frame.bottom), (x, frame.bottom + 4), "axis")
        drawing.text((x, frame.bottom + 16), frame.across.write(value), anchor="middle", kind="tick")
    drawing.line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis")
    drawing.text((frame.right, frame.bottom + 32), frame.across.title, anchor="end", kind="name")
    drawing.text((frame.edge, frame.top - 10), frame.up.title, kind="name")
