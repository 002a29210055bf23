"""What must hold of a verification, line by line; from plain data, so that a run can be judged without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attendc.errors import AccuracyError, BudgetError, ParityError
from attendc.targets import FLOAT, WITNESS, is_quantized

__all__ = [
    "GateRow",
    "broken_budgets",
    "budget_row",
    "check_budgets",
    "check_verification",
    "gate_rows",
    "points_lost",
]

_HINTS = {
    "quantize": (
        "Add --no-gate to keep the artefacts and look into them",
        "Try --qat, another --ranges, or allow more with --max-drop POINTS",
    ),
    "run": (
        "Add --set stages.verify.gate=false to keep the artefacts and look into them",
        "Try --set stages.quantize.mode=qat, other ranges, or allow more with --set stages.verify.max_drop=POINTS",
    ),
}
"""Verb -> what to type next where parity fails, and where accuracy does."""
_BUDGET_HINT = (
    "See where the cost is with attendc check FILE --target CORE, prune to a budget with --budget CORE:0.6, "
    "or allow more with --set stages.bench.max_instructions=N and the like; gate=false keeps the artefacts"
)


@dataclass(frozen=True)
class GateRow:
    """One thing that must hold.

    Attributes:
        stage: where it was looked at.
        name: what must hold.
        kind: whether its failure is one of parity (exit code 6), of accuracy (7) or of a budget (8).
        value: what was found: a part of 1, points of percent, an amount, or whether it is so.
        limit: what is due, in the same unit.
        passed: whether it holds.
        message: a sentence where it does not.
    """

    stage: str
    name: str
    kind: Literal["parity", "accuracy", "budget"]
    value: float | bool
    limit: float | bool
    passed: bool
    message: str = ""


def gate_rows(
    verification: Mapping[str, Any], *, min_agreement: float, max_drop: float, stage: str = "verify"
) -> list[GateRow]:
    """Return every gate of a verification, those that hold too; `verification` is `Report.as_json()`."""
    rows = [_agreement(pair, verification, min_agreement, stage) for pair in verification["pairs"] if pair["gated"]]
    for key, what in (("scales_equal", "scales"), ("weights_equal", "integer weights")):
        equal = verification[key]
        if equal is not None:
            text = "" if equal else "; ".join(t for t in verification["failures"] if _reads_back(t))
            rows.append(GateRow(stage, f"{what} as in the graph", "parity", equal, True, equal, text))
    reached = verification["accuracy"]
    for name, value in reached.items():
        if is_quantized(name) and name != WITNESS:
            drop = points_lost(reached[FLOAT], value)
            text = _sentence(verification["accuracy_failures"], f"{name} reaches ")
            passed = drop <= max_drop
            rows.append(GateRow(stage, f"accuracy lost by {name}", "accuracy", drop, max_drop, passed, text))
    return rows


def points_lost(first: float, other: float) -> float:
    """Return by how many points of percent an accuracy of 0..1 is below the first, negative where it is above.

    Without the noise of floats: 93 % to 92 % is one point, and no more than one.
    """
    return round(100 * (first - other), 6)


def check_verification(verification: Mapping[str, Any], *, command: str = "quantize") -> None:
    """Refuse a verification with failures; `command` is the verb whose options the hint names.

    Raises:
        ParityError: if artefacts differ from their graph.
        AccuracyError: if they do not, but int8 lost too much accuracy.
    """
    of_parity, of_accuracy = _HINTS.get(command, ("", "Allow more with --max-drop POINTS"))
    if verification["failures"]:
        raise ParityError("; ".join(verification["failures"]), hint=of_parity)
    if verification["accuracy_failures"]:
        raise AccuracyError("; ".join(verification["accuracy_failures"]), hint=of_accuracy)


def budget_row(name: str, value: float, limit: float, *, stage: str = "bench") -> GateRow:
    """Return the gate that `value`, which is what `name` says, is at most `limit`."""
    passed = value <= limit
    text = "" if passed else f"{name}: {value:,.0f}, {limit:,.0f} allowed"
    return GateRow(stage, name, "budget", value, limit, passed, text)


def check_budgets(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rows of which a budget is not kept.

    Raises:
        BudgetError: if one is not.
    """
    broken = broken_budgets(rows)
    if broken:
        raise BudgetError("; ".join(broken), hint=_BUDGET_HINT)


def broken_budgets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each budget that is not kept."""
    return [row["message"] for row in rows if row["kind"] == "budget" and not row["passed"]]


def _agreement(pair: Mapping[str, Any], verification: Mapping[str, Any], min_agreement: float, stage: str) -> GateRow:
    value = float(pair["top1_agreement"])
    text = _sentence(verification["failures"], f"{pair['a']} and {pair['b']} agree on ")
    name = f"agreement of {pair['a']} with {pair['b']}"
    return GateRow(stage, name, "parity", value, min_agreement, value >= min_agreement, text)


def _sentence(sentences: Sequence[str], start: str) -> str:
    return next((s for s in sentences if s.startswith(start)), "")


def _reads_back(sentence: str) -> bool:
    return " agree on " not in sentence
