"""From `macs=0.5`, `bytes=100k` or `budget=cortex-a76:0.6` to a cost function and its limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attendc.amounts import Amount
from attendc.compress.pruning.amount import CORE_BUDGET, amount_of, core_amount_of, unit_of
from attendc.compress.pruning.cost import COSTS, Cost
from attendc.compress.pruning.shapes import Shapes
from attendc.errors import UsageError

__all__ = ["Budget", "budget_of", "core_budget_of"]


@dataclass(frozen=True)
class Budget:
    """What a pruned network may cost: `cost(shapes) <= limit`, in `unit`; `whole` is what the network costs now.

    Attributes:
        unit: what is counted.
        cost: of shapes.
        limit: the most.
        whole: of the network as it is.
        in_steps: whether the cost falls by whole tiles: channels inside one save hardly anything.
    """

    unit: str
    cost: Cost
    limit: float
    whole: float
    in_steps: bool = False


def budget_of(unit: str, text: str, shapes: Shapes) -> Budget:
    """Return the budget of `--macs 0.5` (a part of the whole) or `--macs 6M` (an amount; k, M, G).

    Raises:
        UsageError: if `unit` has no cost function, or `text` is no amount below the whole.
    """
    if unit not in COSTS:
        known = ", ".join((*COSTS, f"{CORE_BUDGET} (of a core)"))
        raise UsageError(f"no budget is counted in {unit!r}", hint=f"Budgets are {known}")
    whole = COSTS[unit](shapes)
    limit = _below(whole, amount_of(unit, text), f"{unit}={text}", f"{unit}=0.5")
    return Budget(unit, COSTS[unit], limit, whole)


def core_budget_of(text: str, shapes: Shapes, cost_on: Callable[[str], Cost]) -> Budget:
    """Return the budget of `--budget cortex-a76:0.6` or `--budget cortex-a76:40M`.

    Args:
        text: as typed.
        shapes: of the network as it is.
        cost_on: what gives the cost function of a core.

    Raises:
        UsageError: if no core or an unknown one is named, or the amount is none below the whole.
    """
    core, amount = core_amount_of(text)
    if not core:
        raise UsageError(
            f"budget={text} names no core", hint=f"For example budget=cortex-a76:{text}, or target: in the recipe"
        )
    cost = cost_on(core)
    whole = cost(shapes)
    limit = _below(whole, amount, f"budget={text}", f"budget={core}:0.6")
    return Budget(unit_of(CORE_BUDGET, text), cost, limit, whole, in_steps=True)


def _below(whole: float, amount: Amount, asked: str, example: str) -> float:
    limit = amount.limit(whole)
    if not 0 < limit < whole:
        raise UsageError(f"{asked} is not below the {whole:,.0f} of this network", hint=f"For example {example}")
    return limit
