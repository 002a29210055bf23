"""The table that `attendc explore` prints: the front, the winner and the baseline, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["print_exploration"]

_MOST_REFUSALS = 5


def print_exploration(console: Console, result: Mapping[str, Any], folder: Path) -> None:
    """Print the front, the cheapest design first, with the winner marked and the baseline below."""
    core = result["core"]
    states = [t["state"] for t in result["trials"]]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    by_number = {t["number"]: t for t in result["trials"]}
    rows = [_row(by_number[n], core, _name(result, n)) for n in result["front"]]
    if result["baseline"] is not None:
        rows.append(_row({**result["baseline"], "performance": _of_baseline(result)}, core, result["baseline"]["name"]))
    head = ("design", "accuracy", f"{core} instructions", "parameters", "MACs", "bytes", "U")
    console.table(f"{folder}: {counts}", head, rows)
    refused = list(result["refused"].items())[:_MOST_REFUSALS]
    if refused:
        console.result("refused before they were built: " + ", ".join(f"{n:,} {name}" for name, n in refused))
    if result["winner"] is None:
        console.result("no design keeps the budget with enough accuracy: see " + str(folder / "report.html"))
    else:
        console.result(f"winner: {folder / 'winner.yaml'}")


def _name(result: Mapping[str, Any], number: int) -> str:
    return f"trial {number}" + (" (winner)" if number == result["winner"] else "")


def _of_baseline(result: Mapping[str, Any]) -> float | None:
    found: list[float | None] = [
        t["performance"] for t in result["trials"] if t["baseline"] and t["state"] == "complete"
    ]
    return found[0] if found else None


def _row(trial: Mapping[str, Any], core: str, name: str) -> tuple[str, ...]:
    accuracy, performance = trial["accuracy"], trial["performance"]
    return (
        name,
        "-" if accuracy is None else f"{accuracy:.2%}",
        f"{trial['instructions'][core]:,.0f}",
        f"{trial['params']:,}",
        f"{trial['macs']:,}",
        f"{trial['bytes']:,}",
        "-" if performance is None else f"{performance:.2f}",
    )
