"""Join columns of a grouped int8 convolution that are narrower than the tile of every int8 kernel for ARM.

A kernel computes at least 8 outputs of a group at once (16 with dot products) and pads the channels of each tap to a
multiple of 8, so that two columns of 4 cost twice what one of 8 does. Weights of zero between joined columns add
nothing: the sums are the same.

Source: instructions of an inference counted with LiteRT 2.3, 3x3 to 16 channels at 56x56, Cortex-A76 / A72, in
millions: 4 columns of 4 1.77 / 3.53, 2 of 8 1.14 / 1.76, 1 of 16 0.84 / 2.33. Columns of 8 stay for that reason: to
join them is faster with dot products and slower without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from attendc.arm.kernels import columns_together
from attendc.converters.tflite_schema import add_constant, constant, drop_unread, op_name, type_name

__all__ = ["join_columns"]


def join_columns(model: Any) -> int:
    """Change the int8 convolutions where it pays, in place, and return how many."""
    changed = 0
    for operator in model.subgraphs[0].operators:
        if op_name(model, operator) == "CONV_2D":
            changed += _join(model, operator)
    if changed:
        drop_unread(model)
    return changed


def _join(model: Any, operator: Any) -> bool:
    tensors = model.subgraphs[0].tensors
    read, tensor = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
    weight = constant(model, tensor, np.int8) if (type_name(read), type_name(tensor)) == ("INT8", "INT8") else None
    if weight is None:
        return False
    outputs, rows, columns, channels = weight.shape
    groups = int(read.shape[3]) // channels
    width = outputs // groups
    together = columns_together(groups, width)
    if together == 1:
        return False
    joined = np.zeros((outputs, rows, columns, together, channels), np.int8)
    for output in range(outputs):
        joined[output, :, :, output // width % together] = weight[output]
    operator.inputs[1] = add_constant(model, joined.reshape(outputs, rows, columns, together * channels), tensor)
    return True
