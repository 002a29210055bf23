"""Amounts as people type them: 40M, 300k, 1.5G."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attendc.errors import UsageError

__all__ = ["Amount", "amount", "part_or_number", "read_amount"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)([kMG]?)")


@dataclass(frozen=True)
class Amount:
    """Attributes:
    value: a part of the whole, or a number.
    is_part: which of the two.
    """

    value: float
    is_part: bool

    def limit(self, whole: float) -> float:
        """Return the number that is meant."""
        return self.value * whole if self.is_part else self.value


def amount(text: str | float, name: str) -> float:
    """Return the number that is meant; `name` is what the text was given as.

    Raises:
        UsageError: if it is none.
    """
    found = read_amount(str(int(text) if isinstance(text, float) and text.is_integer() else text))
    if found is None:
        raise UsageError(f"{name}={text} is no amount", hint=f"For example {name}=40M; k, M and G are known")
    digits, unit = found
    return float(digits) * unit


def read_amount(text: str) -> tuple[str, int] | None:
    """Return the digits and what they are multiplied by (1 where nothing is said); None of what is no amount."""
    match = _AMOUNT.fullmatch(text.strip())
    return None if match is None else (match[1], _UNITS[match[2]])


def part_or_number(text: str) -> Amount | None:
    """Return what `0.5` (a part of a whole) or `6M` (a number) means; None of what is neither."""
    digits, unit = read_amount(text) or ("", 1)
    # Nobody means one and a half multiply-accumulates by 1.5.
    if not digits or (unit == 1 and "." in digits and float(digits) >= 1):
        return None
    value = float(digits) * unit
    return Amount(value, is_part=value < 1 and unit == 1)
