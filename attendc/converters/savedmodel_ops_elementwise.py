"""Arithmetic and activation functions as TensorFlow operators; each function takes the arguments of torch's schema.

They keep the order of the axes that they find.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import torch

from attendc.converters.savedmodel_values import (
    Activation,
    Constant,
    Number,
    Operand,
    Value,
    activation,
    memory_axis,
    together,
)

__all__ = ["ELEMENTWISE", "tf_dtype"]

aten = torch.ops.aten
Emitter = Callable[..., Any]


def _each(function: Callable[[Any], Any]) -> Emitter:
    """Return an emitter that applies `function` to the tensor; what else torch passes does not matter."""

    def emit(x: Value, *_: Any) -> Activation:
        value = activation(x)
        return Activation(function(value.tensor), value.order)

    return emit


def _both(function: Callable[[Any, Any], Any]) -> Emitter:
    """Return an emitter that broadcasts two operands; numbers are operands too."""

    def emit(a: Operand, b: Operand, *_: Any) -> Activation:
        (left, right), order = together(a, b)
        return Activation(function(*_of_one_type(left, right)), order)

    return emit


def _of_one_type(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two tensors or numbers of one dtype; torch's rule as far as it matters here: real numbers win."""
    tensors = [t for t in (left, right) if tf.is_tensor(t)]
    dtype = max((t.dtype for t in tensors), key=lambda d: (d.is_floating, d.is_integer, d.size))
    made = [tf.cast(t, dtype) if tf.is_tensor(t) else tf.constant(t, dtype, name="number") for t in (left, right)]
    return made[0], made[1]


def _sum(sign: int) -> Emitter:
    def emit(a: Operand, b: Operand, alpha: Number = 1) -> Activation:
        (left, right), order = together(a, b)
        left, right = _of_one_type(left, right)
        if alpha != 1:
            right = tf.multiply(right, tf.cast(alpha, right.dtype))
        return Activation(tf.add(left, right) if sign > 0 else tf.subtract(left, right), order)

    return emit


def _rsub(a: Operand, b: Operand, alpha: Number = 1) -> Activation:
    difference: Activation = _sum(-1)(b, a, alpha)
    return difference


def _div(a: Operand, b: Operand, mode: str | None = None) -> Activation:
    (left, right), order = together(a, b)
    quotient = tf.divide(*_of_one_type(left, right))
    rounded = {None: tf.identity, "floor": tf.floor, "trunc": lambda x: tf.sign(x) * tf.floor(tf.abs(x))}
    return Activation(quotient if mode is None else rounded[mode](quotient), order)


def _pow(a: Operand, b: Operand) -> Activation:
    """Write a power; the usual ones by operators that every runtime has."""
    if isinstance(a, Activation) and b in (2, 0.5, -0.5, -1):
        by = {2: tf.square, 0.5: tf.sqrt, -0.5: tf.math.rsqrt, -1: tf.math.reciprocal}
        return Activation(by[b](a.tensor), a.order)
    power: Activation = _both(tf.pow)(a, b)
    return power


def _clamp(x: Value, low: Operand | None = None, high: Operand | None = None) -> Activation:
    value: Activation = activation(x)
    if low is not None:
        value = _both(tf.maximum)(value, low)
    return value if high is None else _both(tf.minimum)(value, high)


def _hardtanh(x: Value, low: Number, high: Number) -> Activation:
    value = activation(x)
    if (low, high) == (0, 6):
        return Activation(tf.nn.relu6(value.tensor), value.order)
    return _clamp(value, low, high)


def _hard_sigmoid(x: Any) -> Any:
    return tf.multiply(tf.nn.relu6(tf.add(x, 3.0)), 1 / 6)


def _leaky_relu(x: Value, slope: Number) -> Activation:
    value = activation(x)
    return Activation(tf.nn.leaky_relu(value.tensor, float(slope)), value.order)


def _prelu(x: Value, slope: Value) -> Activation:
    """Write max(x, 0) + slope * min(x, 0), a slope for each channel (torch's axis 1)."""
    value = activation(x)
    rank = len(value.order)
    if isinstance(slope, Constant) and rank > 2 and slope.value.numel() > 1:
        slope = slope.view(-1, *[1] * (rank - 2))
    (tensor, factor), order = together(value, slope)
    return Activation(tf.add(tf.nn.relu(tensor), tf.multiply(factor, tf.minimum(tensor, 0.0))), order)


def _elu(x: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Activation:
    """Write scale * (x where positive, else alpha * (exp(input_scale * x) - 1))."""
    value = activation(x)
    below = tf.multiply(tf.math.expm1(tf.multiply(tf.minimum(value.tensor, 0.0), float(input_scale))), float(alpha))
    whole = tf.add(tf.nn.relu(value.tensor), below)
    return Activation(whole if scale == 1 else tf.multiply(whole, float(scale)), value.order)


def _celu(x: Value, alpha: Number) -> Activation:
    return _elu(x, alpha, 1, 1 / alpha)


def _softplus(x: Value, beta: Number, threshold: Number) -> Activation:
    value = activation(x)
    scaled = tf.multiply(value.tensor, float(beta))
    smooth = tf.divide(tf.math.softplus(scaled), float(beta))
    return Activation(tf.where(tf.greater(scaled, float(threshold)), value.tensor, smooth), value.order)


def _gelu(x: Value, approximate: str) -> Activation:
    """Write GELU; its exact form by erf. Source: Hendrycks and Gimpel, arXiv 1606.08415, section 2."""
    value = activation(x)
    tensor = value.tensor
    if approximate == "tanh":
        cubic = tf.multiply(tf.multiply(tensor, tf.square(tensor)), 0.044715)
        gate = tf.add(tf.tanh(tf.multiply(tf.add(tensor, cubic), math.sqrt(2 / math.pi))), 1.0)
    else:
        gate = tf.add(tf.math.erf(tf.multiply(tensor, math.sqrt(0.5))), 1.0)
    return Activation(tf.multiply(tf.multiply(tensor, 0.5), gate), value.order)


def _glu(x: Value, dim: int) -> Activation:
    value = activation(x)
    left, right = tf.split(value.tensor, 2, memory_axis(value, dim))
    return Activation(tf.multiply(left, tf.sigmoid(right)), value.order)


def _where(condition: Value, a: Operand, b: Operand) -> Activation:
    (test, left, right), order = together(condition, a, b)
    return Activation(tf.where(test, *_of_one_type(left, right)), order)


def _masked_fill(x: Value, mask: Value, number: Operand) -> Activation:
    return _where(mask, number, x)


def _to_dtype(x: Value, dtype: torch.dtype | None = None, *_: Any) -> Activation:
    value = activation(x)
    wanted = value.tensor.dtype if dtype is None else tf_dtype(dtype)
    return value if wanted == value.tensor.dtype else Activation(tf.cast(value.tensor, wanted), value.order)


def _filled(number: Number) -> Emitter:
    """Return an emitter of a tensor of one number, whose shape depends on the batch."""

    def emit(shape: Any, dtype: torch.dtype | None = None, *_: Any) -> Activation:
        value = tf.constant(number, tf_dtype(dtype or torch.float32), name="number")
        return Activation(tf.fill(tf.stack(list(shape)), value), tuple(range(len(shape))))

    return emit


def _full(shape: Any, number: Number, dtype: torch.dtype | None = None, *_: Any) -> Activation:
    filled: Activation = _filled(number)(shape, dtype)
    return filled


def _cumsum(x: Value, dim: int, dtype: torch.dtype | None = None) -> Activation:
    value = _to_dtype(x, dtype)
    return Activation(tf.cumsum(value.tensor, memory_axis(value, dim)), value.order)


def tf_dtype(dtype: torch.dtype) -> Any:
    """Return TensorFlow's type of the same name."""
    return tf.as_dtype(str(dtype).removeprefix("torch."))


_ONE: dict[Any, Callable[[Any], Any]] = {
    aten.relu.default: tf.nn.relu,
    aten.relu6.default: tf.nn.relu6,
    aten.sigmoid.default: tf.sigmoid,
    aten.tanh.default: tf.tanh,
    aten.silu.default: lambda x: tf.multiply(x, tf.sigmoid(x)),
    aten.hardsigmoid.default: _hard_sigmoid,
    aten.hardswish.default: lambda x: tf.multiply(x, _hard_sigmoid(x)),
    aten.mish.default: lambda x: tf.multiply(x, tf.tanh(tf.math.softplus(x))),
    aten.erf.default: tf.math.erf,
    aten.exp.default: tf.exp,
    aten.expm1.default: tf.math.expm1,
    aten.log.default: tf.math.log,
    aten.log1p.default: tf.math.log1p,
    aten.log_sigmoid.default: tf.math.log_sigmoid,
    aten.sqrt.default: tf.sqrt,
    aten.rsqrt.default: tf.math.rsqrt,
    aten.reciprocal.default: tf.math.reciprocal,
    aten.square.default: tf.square,
    aten.abs.default: tf.abs,
    aten.neg.default: tf.negative,
    aten.sign.default: tf.sign,
    aten.sin.default: tf.sin,
    aten.cos.default: tf.cos,
    aten.floor.default: tf.floor,
    aten.ceil.default: tf.math.ceil,
    aten.round.default: tf.round,
    aten.bitwise_not.default: tf.logical_not,
    aten.logical_not.default: tf.logical_not,
    aten.clone.default: lambda x: x,
    aten.contiguous.default: lambda x: x,
    aten.alias.default: lambda x: x,
    aten.detach.default: lambda x: x,
    aten.detach_.default: lambda x: x,
    aten.dropout.default: lambda x: x,
    aten.feature_dropout.default: lambda x: x,
    aten.lift_fresh_copy.default: lambda x: x,
}
_TWO: dict[Any, Callable[[Any, Any], Any]] = {
    aten.mul.Tensor: tf.multiply,
    aten.mul.Scalar: tf.multiply,
    aten.maximum.default: tf.maximum,
    aten.minimum.default: tf.minimum,
    aten.eq.Tensor: tf.equal,
    aten.eq.Scalar: tf.equal,
    aten.ne.Tensor: tf.not_equal,
    aten.ne.Scalar: tf.not_equal,
    aten.gt.Tensor: tf.greater,
    aten.gt.Scalar: tf.greater,
    aten.ge.Tensor: tf.greater_equal,
    aten.ge.Scalar: tf.greater_equal,
    aten.lt.Tensor: tf.less,
    aten.lt.Scalar: tf.less,
    aten.le.Tensor: tf.less_equal,
    aten.le.Scalar: tf.less_equal,
}

ELEMENTWISE: dict[Any, Emitter] = {
    **{target: _each(function) for target, function in _ONE.items()},
    **{target: _both(function) for target, function in _TWO.items()},
    aten.add.Tensor: _sum(1),
    aten.add.Scalar: _sum(1),
    aten.sub.Tensor: _sum(-1),
    aten.sub.Scalar: _sum(-1),
    aten.rsub.Tensor: _rsub,
    aten.rsub.Scalar: _rsub,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.div.Tensor_mode: _div,
    aten.pow.Tensor_Scalar: _pow,
    aten.pow.Tensor_Tensor: _pow,
    aten.clamp.default: _clamp,
    aten.clamp.Tensor: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: lambda x, high: _clamp(x, None, high),
    aten.hardtanh.default: _hardtanh,
    aten.leaky_relu.default: _leaky_relu,
    aten.prelu.default: _prelu,
    aten.elu.default: _elu,
    aten.celu.default: _celu,
    aten.selu.default: lambda x: _elu(x, 1.6732632423543772, 1.0507009873554805),
    aten.softplus.default: _softplus,
    aten.gelu.default: _gelu,
    aten.glu.default: _glu,
    aten.where.self: _where,
    aten.masked_fill.Scalar: _masked_fill,
    aten.zeros.default: _filled(0),
    aten.ones.default: _filled(1),
    aten.full.default: _full,
    aten.cumsum.default: _cumsum,
    aten._to_copy.default: _to_dtype,
    aten.to.dtype: _to_dtype,
}
"""Operator -> what writes it. The numbers of selu are torch's (Klambauer et al., arXiv 1706.02515, appendix)."""
