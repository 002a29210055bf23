"""The universal performance function U: what a search maximises.

Source: NetScore, arXiv 1806.05512, eq. 1: U(N) = 20 log10(a^alpha / (p^beta m^gamma)), which generative synthesis
(1809.05989) uses as its U. The score has multiply-accumulates for m; here stand the int8 instructions of one inference
on the first core of the budget, because equal MACs cost unlike instructions there (docs/arm.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from attendc.recipe import CHECKED

__all__ = ["LEAST_ACCURACY", "Weights", "performance"]

LEAST_ACCURACY = 1e-4
"""What an accuracy of 0 counts as, so that U stays a number: no set here has more than 10,000 images."""

_MILLION = 1e6


@dataclass(frozen=True)
class Weights:
    """How much each part of U counts."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    alpha: Annotated[float, Ge(0)] = 2.0
    """Of accuracy."""
    beta: Annotated[float, Ge(0)] = 0.5
    """Of parameters."""
    gamma: Annotated[float, Ge(0)] = 0.5
    """Of instructions."""


def performance(accuracy: float, params: float, instructions: float, weights: Weights | None = None) -> float:
    """Return U in decibels: 20 log10(a^alpha / (p^beta c^gamma)).

    With the default weights 1 % fewer instructions are worth as much as 0.25 % more accuracy (relative).

    Args:
        accuracy: 0..1; U takes it in percent.
        params: of the network; U takes millions.
        instructions: of one int8 inference on one core; U takes millions.
        weights: None: 2, 0.5, 0.5, as NetScore.

    Raises:
        ValueError: if `accuracy` is outside 0..1, or a cost is not above 0.
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy is {accuracy}, but must be from 0 to 1")
    if params <= 0 or instructions <= 0:
        raise ValueError(f"params is {params} and instructions is {instructions}, but both must be above 0")
    by = weights or Weights()
    of_accuracy = by.alpha * math.log10(100 * max(accuracy, LEAST_ACCURACY))
    of_costs = by.beta * math.log10(params / _MILLION) + by.gamma * math.log10(instructions / _MILLION)
    return 20 * (of_accuracy - of_costs)
