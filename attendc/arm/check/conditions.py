"""What must not be so of a file: `partitions>1`, `instructions>60M`, as people type it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from attendc.amounts import amount
from attendc.errors import UsageError

__all__ = ["MEASURES", "Condition", "condition"]

MEASURES = ("instructions", "partitions", "fallen", "macs", "bytes")
"""What is known of a file: on each core its instructions; once its parts in XNNPACK, the operators outside of them,
its multiply-accumulates and its size."""
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(rf"\s*(\w+)\s*({'|'.join(_COMPARISONS)})\s*(\S+)\s*")
_POSSIBLE = (
    f"Write NAME OPERATOR AMOUNT as in instructions>60M: {', '.join(MEASURES)}; {' '.join(_COMPARISONS)}; k, M, G"
)


@dataclass(frozen=True)
class Condition:
    """One condition to fail on.

    Attributes:
        text: as typed.
        measure: one of MEASURES.
        comparison: one of `>`, `>=`, `<`, `<=`, `==`.
        amount: what is compared with.
    """

    text: str
    measure: str
    comparison: str
    amount: float

    def holds(self, value: float) -> bool:
        """Return whether it is so of a value."""
        return _COMPARISONS[self.comparison](value, self.amount)


def condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        UsageError: if it is none, naming what is possible.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"--fail-on {text!r} is no condition", hint=_POSSIBLE)
    measure, comparison, limit = match.groups()
    if measure not in MEASURES:
        raise UsageError(f"--fail-on {text!r}: nothing is called {measure}", hint=_POSSIBLE)
    return Condition(text.strip(), measure, comparison, amount(limit, measure))
