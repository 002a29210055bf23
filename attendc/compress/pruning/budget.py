"""From `macs=0.5` or `bytes=100k` to a cost function and its limit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attendc.compress.pruning.cost import COSTS, Cost
from attendc.compress.pruning.shapes import Shapes
from attendc.errors import UsageError

__all__ = ["Budget", "budget_of"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Budget:
    """What a pruned network may cost: `cost(shapes) <= limit`, in `unit`; `whole` is what the network costs now."""

    unit: str
    cost: Cost
    limit: float
    whole: float


def budget_of(unit: str, text: str, shapes: Shapes) -> Budget:
    """Return the budget of `--macs 0.5` (a part of the whole) or `--macs 6M` (an amount; k, M, G).

    Raises:
        UsageError: if `unit` has no cost function, or `text` is no amount below the whole.
    """
    if unit not in COSTS:
        raise UsageError(f"no budget is counted in {unit!r}", hint=f"Budgets are {', '.join(COSTS)}")
    cost = COSTS[unit]
    whole = cost(shapes)
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([kMG]?)", text.strip())
    # Nobody means one and a half multiply-accumulates by 1.5.
    if match is None or (not match[2] and "." in match[1] and float(match[1]) >= 1):
        raise UsageError(f"{unit}={text} is no budget", hint=f"Give a part such as {unit}=0.5 or an amount: {unit}=40k")
    amount = float(match[1]) * _UNITS[match[2]]
    limit = amount * whole if amount < 1 and not match[2] else amount
    if not 0 < limit < whole:
        raise UsageError(f"{unit}={text} is not below the {whole:,.0f} of this network", hint=f"For example {unit}=0.5")
    return Budget(unit, cost, limit, whole)
