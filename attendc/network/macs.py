"""Multiply-accumulates of one operator from the shapes of its tensors, for one image.

1. A convolution computes every output from as many products as one output channel has weights.
2. A transposed convolution spreads every input over as many products as one input channel has weights.
3. A matrix product computes every output from as many products as the axis is long that is summed over.
4. Attention is two matrix products: queries times keys, and the result times values.

These are the operators that `attendc.metrics.count_macs` counts, so the sums agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from attendc.network.shapes import for_one_image
from attendc.network.types import Operation, Tensor

__all__ = ["macs_of"]


def macs_of(operation: Operation, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the MACs where N is 1; None where a shape that is needed is unknown."""
    product = operation.product
    if product is None:
        return 0
    read = [for_one_image(tensors[n].shape) if n in tensors else None for n in operation.inputs]
    out = for_one_image(tensors[operation.outputs[0]].shape)
    if product.kind == "attention":  # rule 4
        query, key, value = read[:3]
        if query is None or key is None or value is None:
            return None
        return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    data, weight = read[product.data], read[product.weight] if product.own is None else product.own
    if out is None or data is None or weight is None:
        return None
    if product.kind == "conv":  # rule 1
        return math.prod(out) // max(out[product.axis], 1) * math.prod(weight)
    if product.kind == "transposed":  # rule 2
        return math.prod(data) * math.prod(weight) // max(data[product.axis], 1)
    return math.prod(out) * data[product.axis]  # rule 3
