"""Layers and products of matrices as TensorFlow operators; each function takes the arguments of torch's schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch

from attendc.converters.savedmodel_values import (
    NHWC,
    Activation,
    Constant,
    Value,
    activation,
    constant_tensor,
    dims,
    in_order,
    plain,
    rank_of,
    sizes_of,
    together,
)

__all__ = ["LAYERS"]

aten = torch.ops.aten

Pads = Sequence[tuple[int, int]]


def conv2d(
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
) -> Activation:
    """Write a convolution: depthwise as one, any other in its groups, padded as torch pads."""
    strides, dilations = _pair(stride), _pair(dilation)
    x = activation(x, NHWC)
    kernel = [size or 0 for size in sizes_of(weight)[2:]]
    pads = _pads(padding, kernel, dilations)
    same = [_same_pads(n or 0, *w) for n, *w in zip(dims(x)[2:], kernel, strides, dilations, strict=True)]
    given: Any = "VALID" if not any(map(any, pads)) else "SAME" if pads == same else [(0, 0), *pads, (0, 0)]
    # TensorFlow's depthwise kernel knows neither dilation nor unequal strides; its grouped convolution does.
    simple = dilations == (1, 1) and strides[0] == strides[1]
    if isinstance(weight, Constant) and groups > 1 and weight.value.shape[1] == 1 and simple:
        # Nor may it pad by numbers: the optimizer loses them where it fuses the bias, and ends the process.
        tensor = x.tensor if isinstance(given, str) else tf.pad(x.tensor, given)
        padding = given if isinstance(given, str) else "VALID"
        y = tf.nn.depthwise_conv2d(tensor, _depthwise_filter(weight, groups), [1, *strides, 1], padding)
    else:
        filters = activation(weight, (2, 3, 1, 0)).tensor
        y = tf.nn.conv2d(x.tensor, filters, [1, *strides, 1], given, dilations=[1, *dilations, 1])
    return Activation(_biased(y, bias), NHWC)


def _depthwise_filter(weight: Constant, groups: int) -> Any:
    """Return (H, W, C, M) of (C * M, 1, H, W)."""
    outputs, _, height, width = weight.value.shape
    return constant_tensor(weight.view(groups, outputs // groups, height, width), (2, 3, 0, 1))


def _pads(padding: Sequence[int] | str, kernel: Sequence[int], dilations: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pixels that torch adds (above, below) and (left, right)."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        whole = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return [(w // 2, w - w // 2) for w in whole]
    assert not isinstance(padding, str), f"torch has no padding {padding}"
    return [(p, p) for p in _pair(padding)]


def _same_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the pixels that TensorFlow adds for SAME. Source: tensorflow.org/api_docs/python/tf/nn, "padding"."""
    whole = max((math.ceil(size / stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return (whole // 2, whole - whole // 2)


def _biased(y: Any, bias: Value | None) -> Any:
    return y if bias is None else tf.nn.bias_add(y, activation(bias).tensor)


def linear(x: Value, weight: Value, bias: Value | None) -> Activation:
    """Write a linear layer on the last axis; the weight stays (O, I)."""
    x = activation(x)
    last = len(x.order) - 1
    order = (*(a for a in x.order if a != last), last)
    x = Activation(in_order(x, order), order)
    sizes = x.tensor.shape.as_list()
    tensor = x.tensor if last == 1 else tf.reshape(x.tensor, [-1, sizes[-1]])
    y = _biased(tf.matmul(tensor, activation(weight, (0, 1)).tensor, transpose_b=True), bias)
    if last == 1:
        return Activation(y, order)
    shape = [-1 if s is None else s for s in (*sizes[:-1], y.shape[-1])]
    if shape.count(-1) > 1:
        return Activation(tf.reshape(y, tf.concat([tf.shape(x.tensor)[:-1], [y.shape[-1]]], 0)), order)
    return Activation(tf.reshape(y, shape), order)


def matmul(a: Value, b: Value) -> Activation:
    """Write a product of matrices over any leading axes; a transposed factor is told by a flag, not moved."""
    if isinstance(a, Activation) and len(a.order) > 2 and isinstance(b, Constant) and b.value.ndim == 2:
        return linear(a, Constant(b.value.t()), None) if b.integers is None else linear(a, _turned(b), None)
    rank = max(rank_of(a), rank_of(b))
    first, turn_a = _matrices(a)
    second, turn_b = _matrices(b)
    return Activation(tf.matmul(first, second, transpose_a=turn_a, transpose_b=turn_b), plain(rank))


def _turned(matrix: Constant) -> Constant:
    assert matrix.integers is not None
    assert matrix.scale is not None
    return Constant(matrix.value.t(), matrix.integers.t(), matrix.scale.t(), matrix.zero_point)


def _matrices(value: Value) -> tuple[Any, bool]:
    """Return a tensor with its leading axes in torch's order, and whether its last two are swapped."""
    rank = rank_of(value)
    swapped = (*plain(rank)[:-2], rank - 1, rank - 2)
    if isinstance(value, Activation) and value.order == swapped:
        return value.tensor, True
    return activation(value, plain(rank)).tensor, False


def einsum(equation: str, factors: Sequence[Value], _path: Any = None) -> Activation:
    """Write a sum of products, in torch's order of axes."""
    y = tf.einsum(equation, *(activation(f, plain(rank_of(f))).tensor for f in factors))
    return Activation(y, plain(len(y.shape)))


def addmm(bias: Value, a: Value, b: Value, beta: float, alpha: float) -> Activation:
    """Write beta * bias + alpha * (a @ b)."""
    product = matmul(a, b)
    scaled = product if alpha == 1 else Activation(tf.multiply(product.tensor, float(alpha)), product.order)
    (left, right), order = together(bias, scaled)
    return Activation(tf.add(left if beta == 1 else tf.multiply(left, float(beta)), right), order)


def attention(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    _dropout: float,
    is_causal: bool,
    scale: float | None,
    _grouped: bool = False,
) -> Activation:
    """Write softmax(query @ key^T * scale + mask) @ value, over the last two axes."""
    q, k = activation(query), activation(key)
    width = dims(q)[-1]
    assert width is not None, "only the batch is free"
    factor = 1 / math.sqrt(width) if scale is None else scale
    last = len(k.order) - 1
    swap = {last: last - 1, last - 1: last}
    turned = Activation(k.tensor, tuple(swap.get(a, a) for a in k.order))
    scores = matmul(q, turned)
    logits = Activation(tf.multiply(scores.tensor, factor), scores.order)
    rows, columns = dims(logits)[-2:]
    if is_causal:
        mask = Constant(torch.ones(rows or 0, columns or 0, dtype=torch.bool).tril())
    if mask is not None:
        if isinstance(mask, Constant) and mask.value.dtype == torch.bool:
            mask = Constant(torch.zeros(mask.value.shape).masked_fill(~mask.value, -torch.inf))
        (left, right), order = together(logits, mask)
        logits = Activation(tf.add(left, right), order)
    weights = Activation(tf.nn.softmax(logits.tensor), logits.order)
    return matmul(weights, value)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


LAYERS: dict[Any, Callable[..., Any]] = {
    aten.conv2d.default: conv2d,
    aten.conv2d.padding: conv2d,
    aten.linear.default: linear,
    aten.addmm.default: addmm,
    aten.matmul.default: matmul,
    aten.mm.default: matmul,
    aten.einsum.default: einsum,
    aten.bmm.default: matmul,
    aten.scaled_dot_product_attention.default: attention,
}
