"""What a design may cost, and the accuracy that it must reach: `cortex-a76:2.7M`, `bytes:300k`, `accuracy:0.9`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from attendc.amounts import Amount, part_or_number
from attendc.arm.cores import CORES
from attendc.errors import UsageError
from attendc.explore.cost import Cost
from attendc.reader.faults import closest

__all__ = ["COUNTED", "Budget", "cost_in", "parse_budgets"]

COUNTED = ("params", "macs", "bytes", "memory")
"""What is counted beside a core's instructions: fields of `Cost`."""

_ACCURACY = "accuracy"
_EXAMPLES = "For example cortex-a76:2.7M, params:0.5M, macs:20M, bytes:300k, memory:200k, accuracy:0.90"


@dataclass(frozen=True)
class Budget:
    """Limits of a search.

    Attributes:
        limits: name (`params`, `macs`, `bytes`, `memory` or a core) -> the most of it, a number or a part of the
            baseline's.
        accuracy: the least, 0..1; None: any.
    """

    limits: Mapping[str, Amount] = field(default_factory=dict)
    accuracy: float | None = None

    @property
    def cores(self) -> tuple[str, ...]:
        """Return the cores that it names, in their order; U counts the instructions of the first."""
        return tuple(name for name in self.limits if name in CORES)

    @property
    def needs_baseline(self) -> bool:
        """Return whether a limit is a part of what the baseline costs."""
        return any(limit.is_part for limit in self.limits.values())

    def against(self, baseline: Cost | None) -> Budget:
        """Return it with numbers for parts of what the baseline costs.

        Raises:
            UsageError: if there is a part and no baseline.
        """
        return replace(self, limits={name: _number(name, limit, baseline) for name, limit in self.limits.items()})

    def as_dict(self) -> dict[str, float]:
        """Return name -> limit, `accuracy` too where there is one; call it on what `against` returned."""
        told = {name: limit.value for name, limit in self.limits.items()}
        return told if self.accuracy is None else {**told, _ACCURACY: self.accuracy}


def cost_in(cost: Cost, name: str) -> float:
    """Return what a design costs in `params`, `macs`, `bytes`, `memory` or instructions of a core."""
    return float(cost.instructions[name] if name in CORES else getattr(cost, name))


def parse_budgets(texts: Sequence[str]) -> Budget:
    """Return the budget that `NAME:LIMIT`s make; a limit below 1 is a part of the baseline's, of accuracy itself.

    Raises:
        UsageError: if a name is unknown or stands twice, or a limit is none.
    """
    limits: dict[str, Amount] = {}
    accuracy: float | None = None
    for text in texts:
        name, told = _parts(text)
        if name in limits or (name == _ACCURACY and accuracy is not None):
            raise UsageError(f"{name} has two budgets", hint=f"Give {name} once")
        amount = part_or_number(told)
        if amount is None or amount.value <= 0:
            raise UsageError(f"{text} is no budget: {told or 'nothing'} is no amount above 0", hint=_EXAMPLES)
        if name == _ACCURACY:
            accuracy = _share(text, amount)
        else:
            limits[name] = amount
    return Budget(limits, accuracy)


def _parts(text: str) -> tuple[str, str]:
    """Return name and limit."""
    name, colon, told = text.partition(":")
    known = (*COUNTED, _ACCURACY, *CORES)
    if not colon:
        raise UsageError(f"{text} is no budget: it names no limit", hint=_EXAMPLES)
    if name not in known:
        near = closest(name, known)
        meant = f"Did you mean {near}? " if near else ""
        raise UsageError(
            f"{text} is no budget: nothing is counted in {name!r}", hint=f"{meant}Known: {', '.join(known)}"
        )
    return name, told


def _share(text: str, amount: Amount) -> float:
    if amount.value > 1:
        raise UsageError(f"{text} is no budget: an accuracy is from 0 to 1", hint="For example accuracy:0.90")
    return amount.value


def _number(name: str, limit: Amount, baseline: Cost | None) -> Amount:
    if not limit.is_part:
        return limit
    if baseline is None:
        raise UsageError(
            f"{name}:{limit.value:g} is a part of a baseline's, but there is no baseline",
            hint=f"Add --baseline attendnext_nano, or give an amount: {name}:2.7M",
        )
    return Amount(limit.limit(cost_in(baseline, name)), is_part=False)
