"""What a network of given layer shapes costs on an ARM core: instructions of one inference of its int8 TFLite file.

An estimate, by the table that was measured on the emulated cores.
"""

from __future__ import annotations

from collections.abc import Sequence

from attendc.arm.cost.cost import predict
from attendc.compress.pruning.cost import Cost
from attendc.compress.pruning.operators import Operator
from attendc.compress.pruning.shapes import Shapes

__all__ = ["instructions_on"]


def instructions_on(core: str, operators: Sequence[Operator]) -> Cost:
    """Return the cost function of networks that have these operators, or what pruning leaves of them."""

    def cost(shapes: Shapes) -> float:
        return predict([now for operator in operators if (now := operator.of(shapes)) is not None], core)

    return cost
