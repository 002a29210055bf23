"""Reductions, softmax and norms as TensorFlow operators; each function takes the arguments of torch's schema.

They work on the axes wherever these are in memory. A norm is written as its formula, of operators that all have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch

from attendc.converters.savedmodel_reshape import reshaped
from attendc.converters.savedmodel_values import (
    Activation,
    Constant,
    Value,
    activation,
    constant_tensor,
    dims,
    memory_axis,
    plain,
)
from attendc.errors import ConversionError

__all__ = ["NORMS"]

aten = torch.ops.aten
Emitter = Callable[..., Any]


def _softmax(function: Callable[..., Any]) -> Emitter:
    def emit(x: Value, dim: int, *_: Any) -> Activation:
        value = activation(x)
        return Activation(function(value.tensor, memory_axis(value, dim)), value.order)

    return emit


def _reduction(function: Callable[..., Any]) -> Emitter:
    def emit(x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False, *_: Any) -> Activation:
        return _reduced(activation(x), function, dim, keep=keepdim)

    return emit


def _reduced(x: Activation, function: Callable[..., Any], dim: int | Sequence[int] | None, *, keep: bool) -> Activation:
    """Return the reduction over torch's axes `dim`, all of them if there are none."""
    rank = len(x.order)
    given = [dim] if isinstance(dim, int) else list(dim or plain(rank))
    gone = {d % rank for d in given}
    tensor = function(x.tensor, sorted(memory_axis(x, d) for d in gone), keepdims=keep)
    if keep:
        return Activation(tensor, x.order)
    left = [a for a in plain(rank) if a not in gone]
    return Activation(tensor, tuple(left.index(a) for a in x.order if a not in gone))


def _variance(x: Value, dim: Any, correction: Any, keepdim: bool) -> Activation:
    value = activation(x)
    found = _reduced(value, tf.math.reduce_variance, dim, keep=keepdim)
    if not correction and correction is not None:
        return found
    sizes = dims(value)
    count = 1
    for d in [dim] if isinstance(dim, int) else list(dim or plain(len(sizes))):
        size = sizes[d]
        if size is None:
            raise ConversionError("a variance over the batch depends on what else is in it")
        count *= size
    less = 1 if correction is None else int(correction)
    return Activation(tf.multiply(found.tensor, count / (count - less)), found.order)


def _variance_of_sample(x: Value, dim: Any, unbiased: bool, keepdim: bool) -> Activation:
    return _variance(x, dim, int(unbiased), keepdim)


def _rooted(variance: Emitter) -> Emitter:
    """Return an emitter of the standard deviation."""

    def emit(*arguments: Any) -> Activation:
        found: Activation = variance(*arguments)
        return Activation(tf.sqrt(found.tensor), found.order)

    return emit


def _vector_norm(x: Value, order: float, dim: Any, keepdim: bool, *_: Any) -> Activation:
    value = activation(x)
    if order == 1:
        return _reduced(Activation(tf.abs(value.tensor), value.order), tf.reduce_sum, dim, keep=keepdim)
    if order != 2:
        raise ConversionError(f"a vector norm of order {order} is not written to a SavedModel")
    total = _reduced(Activation(tf.square(value.tensor), value.order), tf.reduce_sum, dim, keep=keepdim)
    return Activation(tf.sqrt(total.tensor), total.order)


def _normalised(x: Activation, axes: Sequence[int], eps: float) -> Any:
    """Return (x - mean) / sqrt(variance + eps) over the tensor's `axes`."""
    mean = tf.reduce_mean(x.tensor, axes, keepdims=True)
    centred = tf.subtract(x.tensor, mean)
    variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    return tf.multiply(centred, tf.math.rsqrt(tf.add(variance, eps)))


def _scaled(tensor: Any, order: tuple[int, ...], first: int, weight: Value | None, bias: Value | None) -> Activation:
    """Multiply by a weight and add a bias whose axes are torch's from `first` on."""
    for value, function in ((weight, tf.multiply), (bias, tf.add)):
        if value is not None:
            assert isinstance(value, Constant), "the weights of a norm are constants"
            tail = len(order) - first - value.value.ndim
            shaped = value.view(*[1] * first, *value.value.shape, *[1] * tail)
            tensor = function(tensor, constant_tensor(shaped, order, short=True))
    return Activation(tensor, order)


def layer_norm(
    x: Value, shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float, *_: Any
) -> Activation:
    """Write a layer norm over the last axes. Source: Ba et al., arXiv 1607.06450."""
    value = activation(x)
    first = len(value.order) - len(shape)
    axes = sorted(memory_axis(value, a) for a in range(first, len(value.order)))
    return _scaled(_normalised(value, axes, eps), value.order, first, weight, bias)


def _native_layer_norm(*arguments: Any) -> tuple[Activation]:
    return (layer_norm(*arguments),)


def _rms_norm(x: Value, shape: Sequence[int], weight: Value | None, eps: float | None) -> Activation:
    """Write x / sqrt(mean(x^2) + eps). Source: Zhang and Sennrich, arXiv 1910.07467."""
    value = activation(x)
    first = len(value.order) - len(shape)
    axes = sorted(memory_axis(value, a) for a in range(first, len(value.order)))
    small = torch.finfo(torch.float32).eps if eps is None else eps
    mean = tf.reduce_mean(tf.square(value.tensor), axes, keepdims=True)
    return _scaled(tf.multiply(value.tensor, tf.math.rsqrt(tf.add(mean, small))), value.order, first, weight, None)


def group_norm(x: Value, groups: int, weight: Value | None, bias: Value | None, eps: float, *_: Any) -> Activation:
    """Write a group norm: over the channels of a group and all pixels. Source: Wu and He, arXiv 1803.08494."""
    value = activation(x)
    sizes = dims(value)
    channels = sizes[1]
    assert channels is not None, "only the batch is free"
    if groups == 1:
        axes = sorted(memory_axis(value, a) for a in range(1, len(sizes)))
        return _scaled(_normalised(value, axes, eps), value.order, 1, weight, bias)
    rest = [-1 if s is None else s for s in sizes]
    split = reshaped(value, [rest[0], groups, channels // groups, *rest[2:]])
    axes = sorted(memory_axis(split, a) for a in range(2, len(split.order)))
    whole = reshaped(Activation(_normalised(split, axes, eps), split.order), rest)
    return _scaled(whole.tensor, whole.order, 1, weight, bias)


def _native_group_norm(
    x: Value, weight: Value | None, bias: Value | None, _n: Any, _c: Any, _hw: Any, groups: int, eps: float
) -> tuple[Activation]:
    return (group_norm(x, groups, weight, bias, eps),)


def _batch_norm(x: Value, weight: Value, bias: Value, mean: Value, variance: Value, *rest: Any) -> Activation:
    """Write a batch norm in inference, its four tensors as one factor and one offset."""
    eps = next(r for r in reversed(rest) if isinstance(r, float))
    value = activation(x)
    constants = [v.value if isinstance(v, Constant) else None for v in (weight, bias, mean, variance)]
    w, b, m, v = constants
    assert m is not None
    assert v is not None
    factor = torch.rsqrt(v.double() + eps) * (1 if w is None else w)
    offset = (0 if b is None else b) - m * factor
    return _scaled(value.tensor, value.order, 1, Constant(factor.float()), Constant(offset.float()))


def _instance_norm(x: Value, weight: Value | None, bias: Value | None, *rest: Any) -> Activation:
    value = activation(x)
    axes = sorted(memory_axis(value, a) for a in range(2, len(value.order)))
    return _scaled(_normalised(value, axes, rest[4]), value.order, 1, weight, bias)


NORMS: dict[Any, Emitter] = {
    aten.softmax.int: _softmax(tf.nn.softmax),
    aten._softmax.default: _softmax(tf.nn.softmax),
    aten.log_softmax.int: _softmax(tf.nn.log_softmax),
    aten._log_softmax.default: _softmax(tf.nn.log_softmax),
    aten.mean.dim: _reduction(tf.reduce_mean),
    aten.mean.default: lambda x, *_: _reduced(activation(x), tf.reduce_mean, None, keep=False),
    aten.sum.dim_IntList: _reduction(tf.reduce_sum),
    aten.amax.default: _reduction(tf.reduce_max),
    aten.amin.default: _reduction(tf.reduce_min),
    aten.logsumexp.default: _reduction(tf.reduce_logsumexp),
    aten.var.correction: _variance,
    aten.var.dim: _variance_of_sample,
    aten.std.correction: _rooted(_variance),
    aten.std.dim: _rooted(_variance_of_sample),
    aten.linalg_vector_norm.default: _vector_norm,
    aten.layer_norm.default: layer_norm,
    aten.native_layer_norm.default: _native_layer_norm,
    aten.rms_norm.default: _rms_norm,
    aten.group_norm.default: group_norm,
    aten.native_group_norm.default: _native_group_norm,
    aten.batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: lambda *a: (_batch_norm(*a),),
    aten.instance_norm.default: _instance_norm,
}
