"""Amounts as people type them: 40M, 300k, 1.5G."""

from __future__ import annotations

import re

from attendc.errors import UsageError

__all__ = ["amount", "read_amount"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)([kMG]?)")


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
