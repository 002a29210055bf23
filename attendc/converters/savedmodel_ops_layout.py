"""What moves numbers and changes none, as TensorFlow operators; each function takes the arguments of torch's schema.

A permute writes nothing: it only says that the axes now have other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import torch

from attendc.converters.savedmodel_reshape import reshaped
from attendc.converters.savedmodel_values import (
    NHWC,
    Activation,
    Constant,
    Value,
    activation,
    dims,
    in_order,
    memory_axis,
    plain,
    rank_of,
    together,
)
from attendc.errors import ConversionError

__all__ = ["LAYOUT"]

aten = torch.ops.aten
Emitter = Callable[..., Any]


def reshape(x: Value, shape: Sequence[Any]) -> Activation:
    """Write a reshape, of memory as it is where that can be."""
    return reshaped(activation(x), shape)


def flatten(x: Value, start: int = 0, end: int = -1) -> Activation:
    """Write a reshape that joins the axes from `start` to `end`."""
    value = activation(x)
    sizes = _entries(value)
    start, end = start % len(sizes), end % len(sizes)
    joined = sizes[start : end + 1]
    whole = -1 if any(not isinstance(s, int) for s in joined) else int(np.prod(joined))
    return reshaped(value, [*sizes[:start], whole, *sizes[end + 1 :]])


def unflatten(x: Value, dim: int, shape: Sequence[Any]) -> Activation:
    """Write a reshape that splits one axis."""
    value = activation(x)
    sizes = _entries(value)
    dim %= len(sizes)
    return reshaped(value, [*sizes[:dim], *shape, *sizes[dim + 1 :]])


def squeeze(x: Value, dim: int | Sequence[int] | None = None) -> Activation:
    """Write a reshape without the axes of size 1 among `dim`."""
    value = activation(x)
    sizes = _entries(value)
    given = plain(len(sizes)) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {d % len(sizes) for d in given}
    return reshaped(value, [s for a, s in enumerate(sizes) if a not in gone or s != 1])


def unsqueeze(x: Value, dim: int) -> Activation:
    """Write a reshape with one more axis of size 1."""
    value = activation(x)
    sizes = _entries(value)
    dim %= len(sizes) + 1
    return reshaped(value, [*sizes[:dim], 1, *sizes[dim:]])


def permute(x: Value, order: Sequence[int]) -> Activation:
    """Give the axes their new numbers; nothing is written."""
    value = activation(x)
    new = [d % len(value.order) for d in order]
    return Activation(value.tensor, tuple(new.index(a) for a in value.order))


def transpose(x: Value, first: int, second: int) -> Activation:
    """Swap the numbers of two axes."""
    order = list(range(rank_of(x)))
    first, second = first % len(order), second % len(order)
    order[first], order[second] = order[second], order[first]
    return permute(x, order)


def expand(x: Value, shape: Sequence[Any], *_: Any) -> Activation:
    """Write a broadcast of axes of size 1 to `shape`, where -1 keeps a size."""
    rank = len(shape)
    value = activation(x)
    missing = rank - len(value.order)
    sizes = [*[1] * missing, *_entries(value)]
    wanted = [held if isinstance(s, int) and s == -1 else s for s, held in zip(shape, sizes, strict=True)]
    tensor = in_order(value, plain(rank - missing))
    if wanted == sizes:
        return reshaped(value, wanted)
    return Activation(tf.broadcast_to(tensor, tf.stack(wanted)), plain(rank))


def repeat(x: Value, times: Sequence[int]) -> Activation:
    """Write a tile."""
    value = activation(x)
    for _ in range(len(times) - len(value.order)):
        value = unsqueeze(value, 0)
    return Activation(tf.tile(value.tensor, [times[a] for a in value.order]), value.order)


def cat(values: Sequence[Value], dim: int = 0) -> Activation:
    """Write a concatenation."""
    tensors, order = together(*values)
    return Activation(tf.concat(tensors, order.index(dim % len(order))), order)


def stack(values: Sequence[Value], dim: int = 0) -> Activation:
    """Write a concatenation along a new axis."""
    return cat([unsqueeze(v, dim) for v in values], dim)


def split(x: Value, size: int | Sequence[int], dim: int = 0) -> list[Activation]:
    """Write a slice for each part of so many, or of each of these many, along `dim`."""
    value = activation(x)
    whole = _length(value, dim)
    sizes = [size] * (-(-whole // size)) if isinstance(size, int) else list(size)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [slice_(value, dim, start, start + length) for start, length in zip(starts, sizes, strict=True)]


def chunk(x: Value, count: int, dim: int = 0) -> list[Activation]:
    """Write a slice for each of `count` parts along `dim`."""
    return split(x, -(-_length(activation(x), dim) // count), dim)


def unbind(x: Value, dim: int = 0) -> list[Activation]:
    """Write a slice for each entry of `dim`, which is then gone."""
    value = activation(x)
    return [select(value, dim, i) for i in range(_length(value, dim))]


def select(x: Value, dim: int, index: int) -> Activation:
    """Write a slice of one entry of `dim`, which is then gone."""
    value = activation(x)
    dim %= len(value.order)
    tensor = _cut(value, dim, index)
    return Activation(tensor, tuple(a - (a > dim) for a in value.order if a != dim))


def slice_(x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Activation:
    """Write a strided slice along `dim`."""
    value = activation(x)
    size = dims(value)[dim % len(value.order)]
    if size is not None:
        start, end, _ = slice(start, end).indices(size)
        if (start, end, step) == (0, size, 1):
            return value
    elif not start and (end is None or end >= 2**63 - 1) and step == 1:
        return value
    return Activation(_cut(value, dim, slice(start, end, step)), value.order)


def _cut(x: Activation, dim: int, what: int | slice) -> Any:
    return x.tensor[(*[slice(None)] * memory_axis(x, dim), what)]


def index(x: Value, indices: Sequence[Value | None]) -> Activation:
    """Write a gather along the one axis that is indexed, by a constant of one axis."""
    value = activation(x)
    given = [(axis, i) for axis, i in enumerate(indices) if i is not None]
    if len(given) != 1 or not isinstance(given[0][1], Constant) or given[0][1].value.ndim != 1:
        raise ConversionError("only one axis can be indexed at a time, by constants")
    axis, chosen = given[0]
    return index_select(value, axis, chosen)


def index_select(x: Value, dim: int, chosen: Value) -> Activation:
    """Write a gather along `dim`."""
    value = activation(x)
    tensor = tf.gather(value.tensor, activation(chosen).tensor, axis=memory_axis(value, dim))
    return Activation(tensor, value.order)


def pad(x: Value, sizes: Sequence[int], mode: str = "constant", value: float | None = None) -> Activation:
    """Write a pad; `sizes` are (before, after) of the last axis, then of the one before it, as torch has them."""
    tensor = activation(x)
    rank = len(tensor.order)
    pads = {rank - 1 - i: (sizes[2 * i], sizes[2 * i + 1]) for i in range(len(sizes) // 2)}
    if mode in ("replicate", "circular"):
        return _pad_by_gather(tensor, pads, circular=mode == "circular")
    cut = {axis: (-min(a, 0), -min(b, 0)) for axis, (a, b) in pads.items()}
    for axis, (before, after) in cut.items():
        if before or after:
            tensor = slice_(tensor, axis, before, _length(tensor, axis) - after)
    by_axis = [tuple(max(n, 0) for n in pads.get(a, (0, 0))) for a in tensor.order]
    if not any(map(any, by_axis)):
        return tensor
    if mode == "constant":
        return Activation(tf.pad(tensor.tensor, by_axis, constant_values=value or 0), tensor.order)
    return Activation(tf.pad(tensor.tensor, by_axis, mode.upper()), tensor.order)


def _pad_by_gather(x: Activation, pads: dict[int, tuple[int, int]], *, circular: bool) -> Activation:
    for axis, (before, after) in pads.items():
        size = _length(x, axis)
        wanted = np.arange(-before, size + after)
        wanted = wanted % size if circular else wanted.clip(0, size - 1)
        if before or after:
            x = Activation(tf.gather(x.tensor, wanted, axis=memory_axis(x, axis)), x.order)
    return x


def roll(x: Value, shifts: Sequence[int], axes: Sequence[int] = ()) -> Activation:
    """Write a roll of named axes as slices and a concatenation for each."""
    value = activation(x)
    if not axes:
        sizes = _entries(value)
        return reshaped(roll(reshaped(value, [-1]), shifts, [0]), sizes)
    for shift, axis in zip(shifts, axes, strict=True):
        size = _length(value, axis)
        start = -shift % size
        if start:
            value = cat([slice_(value, axis, start, size), slice_(value, axis, 0, start)], axis)
    return value


def flip(x: Value, axes: Sequence[int]) -> Activation:
    """Write a reversal of axes."""
    value = activation(x)
    return Activation(tf.reverse(value.tensor, [memory_axis(value, a) for a in axes]), value.order)


def pixel_shuffle(x: Value, factor: int) -> Activation:
    """Write (N, C * r * r, H, W) -> (N, C, H * r, W * r).

    DEPTH_TO_SPACE has the pixels of a block outside and the channels inside, torch the other way round.
    """
    value = activation(x, NHWC)
    channels = _length(value, 1) // factor**2
    order = np.arange(channels * factor**2).reshape(channels, factor**2).T.ravel()
    tensor = tf.gather(value.tensor, order, axis=3) if channels > 1 else value.tensor
    return Activation(tf.nn.depth_to_space(tensor, factor), NHWC)


def pixel_unshuffle(x: Value, factor: int) -> Activation:
    """Write (N, C, H * r, W * r) -> (N, C * r * r, H, W)."""
    value = activation(x, NHWC)
    channels = _length(value, 1)
    tensor = tf.nn.space_to_depth(value.tensor, factor)
    order = np.arange(channels * factor**2).reshape(factor**2, channels).T.ravel()
    return Activation(tf.gather(tensor, order, axis=3) if channels > 1 else tensor, NHWC)


def channel_shuffle(x: Value, groups: int) -> Activation:
    """Write the channels of all groups in turn, by a gather."""
    value = activation(x)
    channels = _length(value, 1)
    order = np.arange(channels).reshape(groups, channels // groups).T.ravel()
    return Activation(tf.gather(value.tensor, order, axis=memory_axis(value, 1)), value.order)


def _entries(x: Activation) -> list[Any]:
    """Return the sizes in torch's order, the batch as a scalar of TensorFlow."""
    return [tf.shape(x.tensor)[memory_axis(x, a)] if s is None else s for a, s in enumerate(dims(x))]


def _length(x: Activation, dim: int) -> int:
    size = dims(x)[dim % len(x.order)]
    if size is None:
        raise ConversionError("the batch cannot be cut into parts, only what belongs to an image")
    return size


LAYOUT: dict[Any, Emitter] = {
    aten.reshape.default: reshape,
    aten.view.default: reshape,
    aten._unsafe_view.default: reshape,
    aten.flatten.using_ints: flatten,
    aten.unflatten.int: unflatten,
    aten.squeeze.default: squeeze,
    aten.squeeze.dim: squeeze,
    aten.squeeze.dims: squeeze,
    aten.unsqueeze.default: unsqueeze,
    aten.permute.default: permute,
    aten.transpose.int: transpose,
    aten.t.default: lambda x: transpose(x, 0, 1),
    aten.expand.default: expand,
    aten.repeat.default: repeat,
    aten.cat.default: cat,
    aten.stack.default: stack,
    aten.split.Tensor: split,
    aten.split_with_sizes.default: split,
    aten.chunk.default: chunk,
    aten.unbind.int: unbind,
    aten.select.int: select,
    aten.slice.Tensor: slice_,
    aten.index.Tensor: index,
    aten.index_select.default: index_select,
    aten.constant_pad_nd.default: lambda x, sizes, value=0: pad(x, sizes, "constant", value),
    aten.pad.default: pad,
    aten.reflection_pad2d.default: lambda x, sizes: pad(x, sizes, "reflect"),
    aten.replication_pad2d.default: lambda x, sizes: pad(x, sizes, "replicate"),
    aten.roll.default: roll,
    aten.flip.default: flip,
    aten.pixel_shuffle.default: pixel_shuffle,
    aten.pixel_unshuffle.default: pixel_unshuffle,
    aten.channel_shuffle.default: channel_shuffle,
}
