"""How a budget is typed: `macs=0.5`, `bytes=100k`, and of a core `budget=cortex-a76:0.6`. Light to import."""

from __future__ import annotations

from attendc.amounts import Amount, part_or_number
from attendc.arm.cores import core_of
from attendc.errors import UsageError

__all__ = ["CORE_BUDGET", "amount_of", "as_typed", "core_amount_of", "unit_of"]

CORE_BUDGET = "budget"
"""What a budget in a core's instructions is called where one in MACs is called `macs`."""


def amount_of(unit: str, text: str) -> Amount:
    """Return what `0.5` (a part) or `6M` (a number; k, M, G) means of a unit.

    Raises:
        UsageError: if it is neither.
    """
    amount = part_or_number(text)
    if amount is None:
        raise UsageError(f"{unit}={text} is no budget", hint=f"Give a part such as {unit}=0.5 or an amount: {unit}=40k")
    return amount


def core_amount_of(text: str) -> tuple[str, Amount]:
    """Return the core, empty if none is named, and what of its instructions `cortex-a76:0.6` or `cortex-a76:40M` means.

    Raises:
        UsageError: if there is no such core, or it is neither a part nor a number.
    """
    core, colon, told = text.rpartition(":")
    if colon:
        core_of(core)
    amount = part_or_number(told)
    if amount is None:
        raise UsageError(
            f"budget={text} is no budget",
            hint="Give a core and a part of its instructions, or so many: cortex-a76:0.6, cortex-a76:40M",
        )
    return core, amount


def as_typed(value: str | float) -> str:
    """Return an amount as it is typed: 6e6 in YAML is 6000000."""
    return str(int(value)) if isinstance(value, float) and value >= 1 and value.is_integer() else str(value)


def unit_of(name: str, text: str) -> str:
    """Return what a budget of that name counts: `macs`, `instructions on cortex-a76`."""
    return f"instructions on {core_amount_of(text)[0]}" if name == CORE_BUDGET else name
