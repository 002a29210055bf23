"""Means of whole images, which stand in the quantized graph as depthwise convolutions, written as int8 MEAN.

XNNPACK has kernels for depthwise convolutions of up to 25 taps; one of more goes through the matrix kernel a channel
at a time. Its MEAN adds the same integers in rows of channels and brings the sum to the output's scale in the same
way, with the same scales and zero points. Smaller windows, and large ones that move, stay.

Source: instructions of an inference counted with LiteRT 2.3, int8, Cortex-A76, depthwise and MEAN, in millions:
7x7x744 0.75 and 0.02, 28x28x72 1.03 and 0.025, 112x112x32 7.2 and 0.12; up to 25 taps the convolution is the cheaper
one or a few hundred instructions dearer. XNNPACK takes MEAN at every ratio of the scales that was tried, from 2^-24 to
2^24. Its answers and those of the convolution are one step apart in up to 0.2 % of the numbers, each as near to the
real mean as the other. LiteRT's own kernel rounds the zero points for themselves, and the reference kernel rounds
twice: both are one step off more often.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from attendc.arm.kernels import DEPTHWISE_TAPS
from attendc.converters.tflite_schema import (
    add_constant,
    constant,
    drop_unread,
    has_bias,
    new_tensor,
    op_name,
    opcode_index,
    type_name,
)

__all__ = ["is_mean_of_image", "means_of_images"]

_IMAGE = np.array([1, 2], np.int32)
"""Rows and columns among the axes (N, H, W, C)."""
_ROUNDING = 1e-6
"""How far weight times scale may be from 1 / (H * W), as a part of it: both were rounded to float32."""


def means_of_images(model: Any) -> int:
    """Change the int8 convolutions that take the mean of a whole image, in place, and return how many."""
    found = [o for o in model.subgraphs[0].operators if _takes_mean(model, o)]
    if found:
        axes = add_constant(model, _IMAGE, new_tensor())
        for operator in found:
            _rewrite(model, operator, axes)
        drop_unread(model)
    return len(found)


def is_mean_of_image(model: Any, operator: Any) -> bool:
    """Return whether an operator is a MEAN over rows and columns that keeps its axes."""
    if op_name(model, operator) != "MEAN" or not getattr(operator.builtinOptions, "keepDims", False):
        return False
    read, axes = (model.subgraphs[0].tensors[i] for i in operator.inputs)
    if len(read.shape) != len(("N", "H", "W", "C")):
        return False
    value = constant(model, axes, np.int32)
    return value is not None and sorted(value.reshape(-1).tolist()) == _IMAGE.tolist()


def _takes_mean(model: Any, operator: Any) -> bool:
    if op_name(model, operator) != "DEPTHWISE_CONV_2D" or operator.builtinOptions.fusedActivationFunction:
        return False
    tensors = model.subgraphs[0].tensors
    read, weight, written = (tensors[i] for i in (*operator.inputs[:2], operator.outputs[0]))
    if any(type_name(t) != "INT8" for t in (read, weight, written)):
        return False
    image = [int(s) for s in read.shape[1:]]
    reads_all = [int(s) for s in weight.shape[1:]] == image and [int(s) for s in written.shape[1:3]] == [1, 1]
    taps = math.prod(image[:2])
    return reads_all and taps > DEPTHWISE_TAPS and _weighs_alike(model, weight, taps) and _adds_nothing(model, operator)


def _weighs_alike(model: Any, tensor: Any, taps: int) -> bool:
    """Return whether each weight is 1 / taps."""
    value = constant(model, tensor, np.int8)
    if value is None or not bool((value == value.flat[0]).all()):
        return False
    sums = np.array(tensor.quantization.scale, np.float64) * float(value.flat[0]) * taps
    return bool((np.abs(sums - 1) <= _ROUNDING).all())


def _adds_nothing(model: Any, operator: Any) -> bool:
    if not has_bias(operator):
        return True
    value = constant(model, model.subgraphs[0].tensors[operator.inputs[2]], np.int32)
    return value is not None and not value.any()


def _rewrite(model: Any, operator: Any, axes: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    options = schema.ReducerOptionsT()
    options.keepDims = True
    operator.opcodeIndex = opcode_index(model, "MEAN")
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, options
    operator.inputs = [operator.inputs[0], axes]
