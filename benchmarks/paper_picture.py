"""The picture of the paper's table: what each network costs at 224x224, and how far its training came."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from paper_claims import DTYPES, RUNS, Row, missing_runs, short

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.labels import draw_labels
from attendc.report.svg import Drawing

__all__ = ["CORE", "draw_claims"]

CORE = "cortex-a72"
"""The core of the picture: the one that the group's other papers name."""
M = 1e6
WIDTH, HEIGHT, MIDDLE, RADIUS = 980, 400, 520, 5
STYLE = (
    "svg{--ground:#fff;--ink:#1b1f24;--soft:#56606b;--grid:#e6e9ed;--ours:#b4500a;--peer:#1f5fa8;background:var(--ground)}"
    "@media (prefers-color-scheme:dark){svg{--ground:#14171b;--ink:#e8eaed;--soft:#a3acb7;--grid:#2a3037;"
    "--ours:#f0a060;--peer:#7db3f2}}"
    'text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}'
    ".title{font-size:14px;font-weight:700}.tick,.name,.soft{fill:var(--soft)}"
    ".label,.soft{paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}"
    ".grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.leader{stroke:var(--soft);stroke-width:.7}"
    ".dashed{stroke:var(--soft);stroke-dasharray:5 4}.pair{stroke:var(--soft);stroke-width:.8;fill:none}"
    ".ours{stroke:var(--ours);fill:var(--ours)}.peer{stroke:var(--peer);fill:var(--peer)}"
    ".float32{fill:var(--ground);stroke-width:1.6}"
)


def draw_claims(rows: Sequence[Row], trained: Sequence[Row], accuracies: Mapping[str, Sequence[float]]) -> str:
    """Return the text of an .svg file, light or dark as the one who looks at it prefers.

    Args:
        rows: at 224x224 with 1000 classes.
        trained: the networks that were trained, at the resolution of the training.
        accuracies: of the runs of each; networks without one are not drawn on the right.
    """
    reached = [row for row in trained if accuracies.get(row.name)]
    costs = "; ".join(f"{row.name}: {row.params / M:.2f} M parameters, {_both(row)}" for row in rows)
    drawing = Drawing(WIDTH, HEIGHT, f"Parameters and M instructions on the {short(CORE)} at 224x224. {costs}")
    drawing.text((4, 18), f"Parameters and instructions, 224x224, {short(CORE)}", kind="title")
    _legend(drawing)
    _draw_costs(drawing, rows)
    drawing.text((MIDDLE + 24, 18), "Fashion-MNIST, from scratch, one recipe", kind="title")
    missing = sum(missing_runs(accuracies, [row.name for row in trained]).values())
    if missing:
        drawing.text((MIDDLE + 24, 38), f"{missing} of {RUNS * len(trained)} runs are missing", kind="soft")
    if reached:
        _draw_accuracies(drawing, reached, accuracies)
    else:
        drawing.text((MIDDLE + 24, 60), "no training is finished", kind="soft")
    return str(drawing.page(STYLE))


def _both(row: Row) -> str:
    return ", ".join(f"{row.instructions[dtype][CORE] / M:.1f} M in {dtype}" for dtype in DTYPES)


def _legend(drawing: Drawing) -> None:
    x = 4.0
    for shape, kind, words in (
        ("circle", "ours", "AttendNeXt, int8"),
        ("circle", "ours float32", "float32"),
        ("square", "peer", "others, int8"),
        ("square", "peer float32", "float32"),
    ):
        drawing.marker(shape, (x + RADIUS, 34), RADIUS, kind)
        drawing.text((x + 3 * RADIUS, 38), words, kind="soft")
        x += 3 * RADIUS + 7 * len(words) + 12


def _logarithmic(values: Sequence[float], title: str) -> Axis:
    low, high = min(values) / 1.15, max(values) * 1.15
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)
    marks = [round(m * 10.0**p, 9) for p in powers for m in steps if low <= m * 10.0**p <= high]
    return Axis(title, (low, high), marks, lambda v: f"{v:g}", log=True)


def _draw_costs(drawing: Drawing, rows: Sequence[Row]) -> None:
    goals = _goals(rows)
    counts = [row.instructions[dtype][CORE] / M for row in rows for dtype in DTYPES]
    across = _logarithmic([*counts, *(value for value, _ in goals)], "M instructions of an inference")
    most = 1.25 * max(row.params for row in rows) / M
    up = Axis("M parameters", (0, most), ticks(0, most, 6), lambda v: f"{v:g}")
    frame = Frame(34, 74, MIDDLE - 16, HEIGHT - 42, across, up)
    draw_frame(drawing, frame)
    for step, (value, words) in enumerate(goals):
        x = frame.x(value)
        drawing.line((x, frame.top), (x, frame.bottom), "dashed")
        drawing.text((x + 4, frame.bottom - 8 - 14 * step), words, kind="soft")
    smaller = next((row.params / 1.37 / M for row in rows if row.name == "MobileNetV3-L"), None)
    if smaller is not None:
        drawing.line((frame.left, frame.y(smaller)), (frame.right, frame.y(smaller)), "dashed")
        drawing.text((frame.left + 4, frame.y(smaller) - 4), "1.37 times smaller than MobileNetV3-L", kind="soft")
    _draw_points(drawing, frame, rows, {row.name: row.params / M for row in rows})


def _goals(rows: Sequence[Row]) -> list[tuple[float, str]]:
    """Return what a tenth of FBNet-C is, in both types."""
    found = [row.instructions for row in rows if row.name == "FBNet-C"]
    return [(n[dtype][CORE] / M / 10, f"a tenth of FBNet-C in {dtype}") for n in found for dtype in DTYPES]


def _draw_accuracies(drawing: Drawing, rows: Sequence[Row], accuracies: Mapping[str, Sequence[float]]) -> None:
    means = {row.name: 100 * statistics.mean(accuracies[row.name]) for row in rows}
    size = rows[0].size
    counts = [row.instructions[dtype][CORE] / M for row in rows for dtype in DTYPES]
    across = _logarithmic(counts, f"M instructions of an inference, {size}x{size}, {short(CORE)}")
    runs = [100 * one for row in rows for one in accuracies[row.name]]
    low, high = around(runs, room=0.15, least=1)
    up = Axis("test accuracy, %, mean and range of the runs", (low, high), ticks(low, high, 6), lambda v: f"{v:g}")
    frame = Frame(MIDDLE + 58, 74, WIDTH - 10, HEIGHT - 42, across, up, edge=MIDDLE + 24)
    draw_frame(drawing, frame)
    for row in rows:
        x = frame.x(row.instructions["int8"][CORE] / M)
        ends = [frame.y(100 * one) for one in (min(accuracies[row.name]), max(accuracies[row.name]))]
        drawing.line((x, ends[0]), (x, ends[1]), "axis")
    _draw_points(drawing, frame, rows, means)


def _draw_points(drawing: Drawing, frame: Frame, rows: Sequence[Row], heights: Mapping[str, float]) -> None:
    """Draw two points for each network, its types of numbers, with its name beside that of int8."""
    at = {
        (row.name, dtype): frame.at(row.instructions[dtype][CORE] / M, heights[row.name])
        for row in rows
        for dtype in DTYPES
    }
    for row in rows:
        drawing.line(at[row.name, "float32"], at[row.name, "int8"], "pair")
    labels = [(at[row.name, "int8"], f"{row.name} (mixed)" if row.mixed else row.name) for row in rows]
    draw_labels(drawing, frame, labels, list(at.values()), RADIUS)
    for row in rows:
        for dtype in DTYPES:
            shape, kind = ("circle", "ours") if row.ours else ("square", "peer")
            kinds = kind if dtype == "int8" else f"{kind} float32"
            told = f"{row.name}, {dtype}: {row.instructions[dtype][CORE] / M:.1f} M instructions"
            drawing.marker(shape, at[row.name, dtype], RADIUS, kinds, told)
