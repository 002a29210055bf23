"""Ranges of one layer: how its weights and outputs are spread, and what int8 can hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.svg import Drawing

__all__ = ["draw_histogram", "draw_scales", "int8_span", "scales_of"]

_WIDTH, _HEIGHT = 360, 220


def scales_of(spread: Mapping[str, Any]) -> list[float]:
    """Return the scales: one a channel, or one."""
    scale = spread.get("scale")
    if scale is None:
        return []
    return [float(s) for s in scale] if isinstance(scale, list | tuple) else [float(scale)]


def int8_span(spread: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the smallest and largest real number that int8 holds with the widest of the scales."""
    scales, zero = scales_of(spread), spread.get("zero_point", 0)
    if not scales:
        return None
    zeros = [int(z) for z in zero] if isinstance(zero, list | tuple) else [int(zero)]
    zeros = zeros * len(scales) if len(zeros) == 1 else zeros
    ends = [((-128 - z) * s, (127 - z) * s) for s, z in zip(scales, zeros, strict=True)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def draw_histogram(title: str, spread: Mapping[str, Any]) -> Markup:
    """Draw how often each value occurs, on a logarithmic scale; dashed lines are the ends of int8."""
    edges, counts = [float(e) for e in spread["edges"]], [float(c) for c in spread["counts"]]
    span = int8_span(spread)
    told = f"{title}: from {edges[0]:.3g} to {edges[-1]:.3g}"
    if span is not None:
        told += f"; int8 holds {span[0]:.3g} to {span[1]:.3g}"
    drawing = Drawing(_WIDTH, _HEIGHT, told)
    ends = around([*edges, *(span or ())], room=0.04)
    most = max([*counts, 1.0])
    across = Axis("value", ends, ticks(*ends, 5), lambda v: f"{v:.4g}")
    up = Axis("count, logarithmic", (0.5, 2 * most), _decades(most), lambda v: f"{v:,.0f}", log=True)
    frame = Frame(72, 28, _WIDTH - 10, _HEIGHT - 42, across, up)
    draw_frame(drawing, frame)
    drawing.path(_outline(frame, edges, counts), "area c0", closed=True)
    for end in span or ():
        drawing.line((frame.x(end), frame.top), (frame.x(end), frame.bottom), "dashed")
    return drawing.markup()


def _decades(most: float) -> list[float]:
    """Return at most five powers of ten from one up."""
    powers = [10.0**k for k in range(16) if 10.0**k <= 2 * most]
    return powers[:: 1 + (len(powers) - 1) // 5]


def _outline(frame: Frame, edges: Sequence[float], counts: Sequence[float]) -> list[tuple[float, float]]:
    places = [(frame.x(edges[0]), frame.bottom)]
    for left, right, n in zip(edges, edges[1:], counts, strict=False):
        y = frame.y(n) if n > 0 else frame.bottom
        places += [(frame.x(left), y), (frame.x(right), y)]
    return [*places, (frame.x(edges[-1]), frame.bottom)]


def draw_scales(title: str, scales: Sequence[float]) -> Markup:
    """Draw the scale of each output channel: channels that differ wildly are what int8 finds hard."""
    low, high = min(scales), max(scales)
    drawing = Drawing(_WIDTH, _HEIGHT, f"{title}: {len(scales)} channels, scales from {low:.3g} to {high:.3g}")
    span = (0.0, 1.12 * high or 1.0)
    across = Axis("output channel", (-0.5, len(scales) - 0.5), _channels(len(scales)), lambda v: f"{v:g}")
    frame = Frame(72, 28, _WIDTH - 10, _HEIGHT - 42, across, Axis("scale", span, ticks(*span, 5), lambda v: f"{v:.3g}"))
    draw_frame(drawing, frame)
    dot = min(3.0, max(1.2, 260 / len(scales)))
    drawing.dots([frame.at(channel, scale) for channel, scale in enumerate(scales)], dot, "c1")
    return drawing.markup()


def _channels(count: int) -> list[float]:
    return [v for v in ticks(0, max(count - 1, 1), 6) if v == int(v) and v < count]
