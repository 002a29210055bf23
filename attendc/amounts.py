"""Amounts as people type them: 40M, 300k, 1.5G."""

from __future__ import annotations

import re

from attendc.errors import UsageError

__all__ = ["UNITS", "amount"]

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)([kMG]?)")


def amount(text: str | float, name: str) -> float:
    """Return the number that is meant; `name` is what the text was given as.

    Raises:
        UsageError: if it is none.
    """
    match = _AMOUNT.fullmatch(str(int(text) if isinstance(text, float) and text.is_integer() else text).strip())
    if match is None:
        raise UsageError(f"{name}={text} is no amount", hint=f"For example {name}=40M; k, M and G are known")
    return float(match[1]) * UNITS[match[2]]
