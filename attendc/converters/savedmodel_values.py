"""What flows through the writer of SavedModels: tensors with the order of their axes, and constants not yet written.

A tensor of TensorFlow need not have its axes in torch's order. Its `order` says which axis of torch each of its own
axes is: (0, 2, 3, 1) is NHWC. So a permute costs nothing, and a TRANSPOSE is written only where an operator needs
another order than the one that is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import torch
from torch import Tensor

__all__ = [
    "NHWC",
    "Activation",
    "Constant",
    "Number",
    "Operand",
    "Value",
    "activation",
    "constant_tensor",
    "dims",
    "in_order",
    "memory_axis",
    "plain",
    "rank_of",
    "sizes_of",
    "together",
]

NHWC = (0, 2, 3, 1)
Number = int | float | bool


@dataclass(frozen=True, eq=False)
class Activation:
    """Attributes:
    tensor: of TensorFlow.
    order: for each axis of `tensor`, which axis of torch it is.
    """

    tensor: Any
    order: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant in torch's order; a quantized one is value = (integers - zero_point) * scale.

    Attributes:
        value: real numbers, or integers that are indices.
        integers: int8 or int32, of the shape of `value`; None where it is not quantized.
        scale: float32, of the rank of `value`, which it broadcasts to.
        zero_point: for all of it.
    """

    value: Tensor
    integers: Tensor | None = None
    scale: Tensor | None = None
    zero_point: int = 0

    def view(self, *shape: int) -> Constant:
        """Return it in a shape of as many channels per entry of `scale` (O, I, H, W) -> (G, O / G * I, H, W)."""
        if self.integers is None or self.scale is None:
            return Constant(self.value.reshape(shape))
        scale = self.scale.expand(self.value.shape).reshape(shape)
        for axis in range(scale.ndim):  # back to one entry along the axes on which it does not depend
            first = scale.narrow(axis, 0, 1)
            scale = first if torch.equal(first.expand_as(scale), scale) else scale
        return Constant(self.value.reshape(shape), self.integers.reshape(shape), scale, self.zero_point)


Value = Activation | Constant
Operand = Value | Number


def plain(rank: int) -> tuple[int, ...]:
    """Return torch's own order."""
    return tuple(range(rank))


def rank_of(value: Value) -> int:
    """Return the number of axes."""
    return len(value.order) if isinstance(value, Activation) else value.value.ndim


def dims(x: Activation) -> list[int | None]:
    """Return the sizes in torch's order; None where it depends on the batch."""
    sizes = x.tensor.shape.as_list()
    return [sizes[x.order.index(axis)] for axis in plain(len(x.order))]


def sizes_of(value: Value) -> list[int | None]:
    """Return the sizes in torch's order of a tensor or a constant."""
    return dims(value) if isinstance(value, Activation) else list(value.value.shape)


def memory_axis(x: Activation, axis: int) -> int:
    """Return which axis of the tensor is torch's `axis`, which may count from the end."""
    return x.order.index(axis % len(x.order))


def in_order(x: Activation, order: tuple[int, ...]) -> Any:
    """Return the tensor with its axes in `order`: by a reshape where only axes of size 1 move, else transposed."""
    if x.order == order:
        return x.tensor
    sizes = dims(x)
    if [a for a in x.order if sizes[a] != 1] == [a for a in order if sizes[a] != 1]:
        shape = [sizes[a] for a in order]
        if shape.count(None) <= 1:
            return tf.reshape(x.tensor, [-1 if s is None else s for s in shape])
    return tf.transpose(x.tensor, [x.order.index(a) for a in order])


def activation(value: Value, order: tuple[int, ...] | None = None) -> Activation:
    """Return a value as a tensor of TensorFlow, in `order` if one is asked for."""
    if isinstance(value, Constant):
        order = order or plain(value.value.ndim)
        return Activation(constant_tensor(value, order), order)
    return value if order is None else Activation(in_order(value, order), order)


def constant_tensor(value: Constant, order: tuple[int, ...], *, short: bool = False) -> Any:
    """Write a constant with its axes in `order`; a quantized one as its integers, and what makes them real.

    A `short` one has no axes of size 1 in front.
    """
    if value.integers is None or value.scale is None:
        return tf.constant(_array(value.value, order, short=short), name="constant")
    real = tf.cast(tf.constant(_array(value.integers, order, short=short), name="integers"), tf.float32)
    if value.zero_point:
        real = tf.subtract(real, tf.constant(float(value.zero_point), name="zero_point"))
    return tf.multiply(real, tf.constant(_array(value.scale, order, short=True), name="scale"))


def together(*operands: Operand) -> tuple[list[Any], tuple[int, ...]]:
    """Return operands that are broadcast against each other as tensors with equal axes, and the order of these.

    The order is that of the first tensor of full rank that is not in torch's own, so that NHWC stays NHWC.
    """
    values = [o for o in operands if isinstance(o, Activation | Constant)]
    rank = max(rank_of(v) for v in values)
    orders = [v.order for v in values if isinstance(v, Activation) and len(v.order) == rank]
    order = next((o for o in orders if o != plain(rank)), plain(rank))
    short = bool(orders)
    return [_of_rank(o, rank, order, short) if isinstance(o, Activation | Constant) else o for o in operands], order


def _of_rank(value: Value, rank: int, order: tuple[int, ...], short: bool) -> Any:
    """Return a tensor of so many axes in `order`; torch adds missing axes in front.

    A `short` constant is written without axes of size 1 in front: TensorFlow's optimizer joins a constant of four axes
    with the bias before it, and then finds that this is no bias (TensorFlow 2.21, ConstantPushDownBiasAdd).
    """
    missing = rank - rank_of(value)
    if isinstance(value, Constant):
        value = value.view(*[1] * missing, *value.value.shape) if missing else value
        return constant_tensor(value, order, short=short)
    if not missing:
        return in_order(value, order)
    tensor = value.tensor
    for _ in range(missing):
        tensor = tf.expand_dims(tensor, 0)
    return in_order(Activation(tensor, (*plain(missing), *(a + missing for a in value.order))), order)


def _array(value: Tensor, order: tuple[int, ...], *, short: bool) -> Any:
    array = value.detach().permute(order).contiguous().numpy()
    while short and array.ndim and array.shape[0] == 1:
        array = array[0]
    return array
