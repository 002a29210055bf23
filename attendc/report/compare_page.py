"""compare.html: runs beside each other, in the look of report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from attendc import __version__
from attendc.report.compare import Comparison, Entry
from attendc.report.html import fill
from attendc.report.scatter import Point, draw_sizes
from attendc.report.svg import MARKERS
from attendc.report.tables import Cell, Table
from attendc.report.words import MISSING, count, more, percent, points

__all__ = ["render_comparison"]

_TOLD = ("recipe", "options", "inputs", "seed", "target", "versions", "model")
"""What of two manifests is looked through for differences."""


def render_comparison(comparison: Comparison, manifests: Sequence[Mapping[str, Any]]) -> str:
    """Return the page: verdict, every artefact in every run, size against accuracy, and what else differs.

    Args:
        comparison: what `compare_runs` found.
        manifests: of the same runs, in the same order.
    """
    worse, first = comparison.worse, comparison.runs[0]
    state = "worse" if worse else "passed" if comparison.worst_drop is not None else "unproven"
    facts = {
        "attendc": __version__,
        "title": f"{first} and {', '.join(comparison.runs[1:])}: {state}",
        "runs": comparison.runs,
        "state": state,
        "sentence": _sentence(comparison),
        "worse": worse,
        "notes": comparison.notes,
        "rows": _artefacts(comparison),
        "sizes": _sizes(comparison),
        "legend": ", ".join(f"{MARKERS[k % 6]}: {run}" for k, run in enumerate(comparison.runs)),
        "differences": _differences(comparison.runs, manifests),
    }
    return fill("comparison.html", facts)


def _sentence(comparison: Comparison) -> str:
    worst, first = comparison.worst_drop, comparison.runs[0]
    if worst is None:
        return f"No accuracy was measured both in {first} and in another run."
    if worst <= 0:
        return f"No artefact lost accuracy against {first}."
    return f"The largest loss against {first} is {worst:.2f} points; {comparison.max_drop:g} are allowed."


def _artefacts(comparison: Comparison) -> Table:
    heads: list[tuple[str, bool]] = [("artefact", False)]
    for k, run in enumerate(comparison.runs):
        heads += [(f"{run}: bytes", True), *([("change", True)] if k else [])]
        heads += [(f"{run}: accuracy", True), *([("points", True)] if k else [])]
    rows = tuple(
        ((row.name, None), *(cell for k, entry in enumerate(row.entries) for cell in _cells(entry, first=k == 0)))
        for row in comparison.rows
    )
    return Table(tuple(heads), rows)


def _cells(entry: Entry, *, first: bool) -> list[Cell]:
    size: Cell = (count(entry.bytes) if entry.there else "missing", entry.bytes)
    change: Cell = (more(entry.more_bytes), entry.more_bytes)
    reached: Cell = (percent(entry.accuracy), entry.accuracy)
    return [size, reached] if first else [size, change, reached, (points(entry.more_points), entry.more_points)]


def _sizes(comparison: Comparison) -> Markup | None:
    shown = [
        Point(f"{row.name}, {run}", entry.bytes, entry.accuracy, MARKERS[k % 6], f"mark c{k % 6}")
        for row in comparison.rows
        for k, (run, entry) in enumerate(zip(comparison.runs, row.entries, strict=True))
        if entry.bytes and entry.accuracy is not None
    ]
    return draw_sizes(shown) if shown else None


def _differences(runs: Sequence[str], manifests: Sequence[Mapping[str, Any]]) -> Table:
    """Return every setting, input and version that is not the same in all runs."""
    flat = [dict(_leaves({k: m[k] for k in _TOLD if m.get(k) is not None})) for m in manifests]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = tuple(
        ((name, None), *((one.get(name, MISSING), None) for one in flat))
        for name in names
        if len({one.get(name) for one in flat}) > 1
    )
    return Table((("setting", False), *((run, False) for run in runs)), rows)


def _leaves(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return (dotted name, text) of each value inside."""
    if isinstance(value, Mapping) and value:
        return [leaf for k, v in value.items() for leaf in _leaves(v, f"{name}.{k}" if name else str(k))]
    if isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        return [leaf for k, v in enumerate(value, 1) for leaf in _leaves(v, f"{name}[{k}]")]
    return [(name, str(value))]
