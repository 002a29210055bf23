"""Lines over steps: loss and accuracy of a training, cost and accuracy of a pruning, error along the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.facts import is_number
from attendc.report.labels import FONT, draw_labels
from attendc.report.svg import CHARACTER, MARKERS, Drawing
from attendc.report.words import decibels, percent

__all__ = ["Series", "curve_pictures", "draw_layers", "draw_legend", "draw_lines", "draw_steps"]

_WIDTH, _HEIGHT = 400, 260
_LOWEST = 3
"""How many of the worst layers have their name in the picture."""


@dataclass(frozen=True)
class Series:
    """One line: `points` are (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


def draw_lines(
    title: str,
    series: Sequence[Series],
    up: tuple[str, Callable[[float], str]],
    across: tuple[str, Mapping[float, str]],
) -> Markup:
    """Draw lines, each with its own marker and dashes, and a legend where there are several.

    Args:
        title: what the picture shows, for those who do not see it.
        series: the lines, at least one with a point.
        up: title of the vertical axis, and how its ticks are written.
        across: title of the horizontal axis, and the words of its ticks; without words, numbers.
    """
    drawing = Drawing(_WIDTH, _HEIGHT, title)
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    span, words = around(ys, room=0.1), dict(across[1])
    width = around(xs, room=0.06)
    marks = list(words) or [v for v in ticks(min(xs), max(xs), 7) if v == int(v)]
    horizontal = Axis(across[0], width, marks, lambda v: words.get(v, f"{v:g}"))
    frame = Frame(46, 48, _WIDTH - 14, _HEIGHT - 42, horizontal, Axis(up[0], span, ticks(*span, 5), up[1]))
    draw_frame(drawing, frame)
    for k, one in enumerate(series):
        places = [frame.at(*point) for point in one.points]
        drawing.path(places, f"line c{k % 6} dash{k % 6}")
        for place, (_, y) in zip(places, one.points, strict=True):
            drawing.marker(MARKERS[k % 6], place, 3.5, f"mark c{k % 6}", f"{one.name}: {up[1](y)}")
    if len(series) > 1:
        draw_legend(drawing, [(one.name, MARKERS[k % 6], f"mark c{k % 6}") for k, one in enumerate(series)], 46)
    return drawing.markup()


def curve_pictures(curve: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Return (what it shows, picture) of the losses, of the accuracies, and of each other kind of column."""
    rows, groups = curve.get("rows") or (), dict[str, list[str]]()
    for column in dict.fromkeys(name for row in rows for name in row):
        if column != "epoch" and any(is_number(row.get(column)) for row in rows):
            groups.setdefault(column.rsplit("_", 1)[-1], []).append(column)
    return [_curve(str(curve.get("title", "")), name, columns, rows) for name, columns in groups.items()]


def _curve(title: str, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> tuple[str, Markup]:
    many = name == "accuracy"
    series = [
        Series(c, [(row.get("epoch", k + 1), row[c]) for k, row in enumerate(rows) if is_number(row.get(c))])
        for c in columns
    ]
    write = percent if many else lambda v: f"{v:.3g}"
    ends = "; ".join(f"{s.name} from {write(s.points[0][1])} to {write(s.points[-1][1])}" for s in series)
    if many:
        series = [Series(s.name, [(x, 100 * y) for x, y in s.points]) for s in series]
    unit = "accuracy, %" if many else name
    return ends, draw_lines(f"{title}, {name} over epochs: {ends}", series, (unit, lambda v: f"{v:.4g}"), ("epoch", {}))


def draw_steps(steps: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw what each step of pruning left of MACs and parameters, and the accuracy after it, all in percent."""
    columns = {"MACs left": "macs", "parameters left": "params"}
    series = [
        Series(name, [(k, 100 * step[key] / steps[0][key]) for k, step in enumerate(steps) if step.get(key)])
        for name, key in columns.items()
        if steps[0].get(key)
    ]
    reached = [(k, 100 * step["accuracy"]) for k, step in enumerate(steps) if is_number(step.get("accuracy"))]
    series += [Series("accuracy", reached)] if reached else []
    words = {float(k): str(step.get("step", k)) for k, step in enumerate(steps)}
    if max(len(w) for w in words.values()) * CHARACTER * FONT > (_WIDTH - 60) / len(words):
        words = {k: str(int(k)) for k in words}
    title = "Steps of pruning: " + "; ".join(f"{s.name} {s.points[-1][1]:.1f} % at the end" for s in series)
    return draw_lines(title, series, ("%", lambda v: f"{v:.4g}"), ("step", words))


def draw_layers(layers: Sequence[Mapping[str, Any]], width: int, kind: str) -> Markup:
    """Draw the signal-to-noise ratio of each layer along the network, the worst ones with their names."""
    known = [(k + 1, row) for k, row in enumerate(layers) if is_number(row.get("sqnr_db"))]
    worst = sorted(known, key=lambda one: one[1]["sqnr_db"])[:_LOWEST]
    told = ", ".join(f"{row['layer']} {decibels(row['sqnr_db'])}" for _, row in worst)
    drawing = Drawing(width, 300, f"Error by layer: {len(known)} layers, lowest {told}", kind=kind)
    low, high = around([row["sqnr_db"] for _, row in known], room=0.12, least=4)
    low -= 0.25 * (high - low)  # room for the names of the worst
    across = Axis(
        "layer, along the network", (0, len(layers) + 1), ticks(1, len(layers), width // 60), lambda v: f"{v:g}"
    )
    up = Axis("SQNR, dB (higher is better)", (low, high), ticks(low, high, 6), lambda v: f"{v:g}")
    frame = Frame(36, 48, width - 10, 258, across, up)
    draw_frame(drawing, frame)
    places = {k: frame.at(k, row["sqnr_db"]) for k, row in known}
    drawing.path(list(places.values()), "line c0 thin")
    ops = list(dict.fromkeys(str(row.get("op", "")) for _, row in known))
    shapes = {op: (MARKERS[i % 6], f"mark c{i % 6}") for i, op in enumerate(ops)}
    for k, row in known:
        said = f"{k}: {row['layer']} ({row.get('op', '')}), {decibels(row['sqnr_db'])}"
        shape, colour = shapes[str(row.get("op", ""))]
        drawing.marker(shape, places[k], 3.5, colour, said)
    draw_legend(drawing, [(op, *shapes[op]) for op in ops], 36)
    draw_labels(drawing, frame, [(places[k], str(row["layer"])) for k, row in worst], list(places.values()), 3.5)
    return drawing.markup()


def draw_legend(drawing: Drawing, entries: Sequence[tuple[str, str, str]], left: float) -> None:
    """Write marker and name of each series above the frame, as many as the width holds."""
    x, y, right = left, 14.0, drawing.width - 8
    for name, shape, colour in entries:
        wide = 16 + CHARACTER * FONT * len(name)
        if x + wide > right:
            return
        drawing.marker(shape, (x + 5, y - 4), 4, colour)
        drawing.text((x + 14, y), name, kind="tick")
        x += wide + 12
