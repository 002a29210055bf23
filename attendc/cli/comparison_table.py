"""The table of runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendc.cli.console import Console

__all__ = ["print_comparison"]


def print_comparison(console: Console, comparison: Mapping[str, Any]) -> None:
    """Print bytes and accuracy of every artefact in each run, how far from the first, and what is worse."""
    head = ("artefact", *(column for run in comparison["runs"] for column in (f"{run}: bytes", "accuracy", "points")))
    rows = [(row["name"], *(cell for entry in row["entries"] for cell in _cells(entry))) for row in comparison["rows"]]
    console.table(f"against {comparison['runs'][0]}", head, rows)
    for note in comparison["notes"]:
        console.result(note)
    for sentence in comparison["worse"]:
        console.result(f"worse: {sentence}")


def _cells(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    if not entry["there"]:
        return "-", "-", "-"
    size = "-" if entry["bytes"] is None else f"{entry['bytes']:,}"
    accuracy = "-" if entry["accuracy"] is None else f"{entry['accuracy']:.2%}"
    points = "" if entry["more_points"] is None else f"{entry['more_points']:+.2f}"
    return size, accuracy, points
