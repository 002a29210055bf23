"""The tables of pruning: what each step did to cost and accuracy, and what a plan would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attendc.cli.console import Console

__all__ = ["print_plan", "print_refused", "print_steps"]


_COUNTS = {"instructions": "instructions, estimated", "macs": "MACs", "params": "parameters"}


def print_steps(console: Console, title: str, steps: Sequence[dict[str, Any]]) -> None:
    """Print what is counted and the accuracy after each step, and parts of what they were at first."""
    first = steps[0]
    counted = [key for key in _COUNTS if key in first]
    heads = ("step", *(head for key in counted for head in (_COUNTS[key], "part")), "accuracy")
    rows = [
        (
            row["step"],
            *(cell for key in counted for cell in (f"{row[key]:,}", f"{row[key] / first[key]:.3f}")),
            f"{row['accuracy']:.2%}" if "accuracy" in row else "-",
        )
        for row in steps
    ]
    console.table(title, heads, rows)


def print_refused(console: Console, refused: Mapping[str, str]) -> None:
    """Print what cannot be pruned, and why."""
    for name, reason in refused.items():
        console.result(f"not pruned: {name}: {reason}")


def print_plan(console: Console, found: dict[str, Any]) -> None:
    """Print what of each layer would stay, which blocks would go, and what cannot be pruned."""
    layers = found["plan"]["layers"]
    rows = [(name, f"{len(row['keep'])} of {row['of']}") for name, row in layers.items()]
    rows += [(name, "removed") for name in found["plan"]["blocks_removed"]]
    title = found["written"] or "the plan (add -o plan.json to keep it)"
    console.table(title, ("layer or block", "channels that stay"), rows)
    print_refused(console, found["refused"])
    if found["part"] is not None:
        estimated = ", as estimated" if found["unit"].startswith("instructions") else ""
        console.result(f"{found['cost']:,.0f} {found['unit']} are left, {found['part']:.3f} of the whole{estimated}")
