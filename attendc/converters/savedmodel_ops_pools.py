"""Pools and resizes as TensorFlow operators, NHWC; each function takes the arguments of torch's schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch

from attendc.converters.savedmodel_values import NHWC, Activation, Constant, Value, activation, constant_tensor, dims
from attendc.errors import ConversionError

__all__ = ["POOLS"]

aten = torch.ops.aten
Emitter = Callable[..., Any]
Pads = list[tuple[int, int]]

LOWEST = -3.4028234663852886e38
"""The least float32: what surrounds an image in a max pool."""


def avg_pool2d(
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_padding: bool,
    divisor: int | None,
) -> Activation:
    """Write an average pool of the padded image, times what corrects the divisor where torch divides otherwise.

    The correction is torch's own pool of ones over the pool of ones that is written.
    """
    x = activation(x, NHWC)
    window, steps = _pair(kernel), _pair(stride or kernel)
    pads = _pads(x, window, steps, _pair(padding), ceil_mode=ceil_mode)
    tensor = tf.pad(x.tensor, [(0, 0), *pads, (0, 0)]) if any(map(any, pads)) else x.tensor
    y = tf.nn.avg_pool2d(tensor, window, steps, "VALID")
    ones = torch.ones(1, 1, *_size(x))
    theirs = torch.nn.functional.avg_pool2d(
        ones, window, steps, _pair(padding), ceil_mode, count_padding, divisor or None
    )
    ours = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(ones, [*pads[1], *pads[0]]), window, steps)
    factor = theirs / ours
    if not torch.equal(factor, torch.ones_like(factor)):
        y = tf.multiply(y, constant_tensor(Constant(factor), NHWC, short=True))
    return Activation(y, NHWC)


def max_pool2d(
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> Activation:
    """Write a max pool of the image with the least number around it."""
    x = activation(x, NHWC)
    if _pair(dilation) != (1, 1):
        raise ConversionError("a dilated max pool is not among TensorFlow's operators")
    window, steps = _pair(kernel), _pair(stride or kernel)
    pads = _pads(x, window, steps, _pair(padding), ceil_mode=ceil_mode)
    tensor = x.tensor
    if any(map(any, pads)):
        tensor = tf.pad(tensor, [(0, 0), *pads, (0, 0)], constant_values=LOWEST)
    return Activation(tf.nn.max_pool2d(tensor, window, steps, "VALID"), NHWC)


def _max_pool_with_indices(*arguments: Any) -> tuple[Activation]:
    return (max_pool2d(*arguments),)  # nothing reads the indices, or it is refused


def _pads(
    x: Activation, window: tuple[int, int], steps: tuple[int, int], padding: tuple[int, int], *, ceil_mode: bool
) -> Pads:
    """Return (above, below), (left, right): below and right as far as the last window reaches.

    With `ceil_mode` a last window that starts inside the image or the padding before it counts too. Source: torch
    2.13, aten/src/ATen/native/Pool.h, pooling_output_shape_pad_lr.
    """
    found = []
    for size, k, s, p in zip(_size(x), window, steps, padding, strict=True):
        count = (size + 2 * p - k) // s + 1
        if ceil_mode:
            count = math.ceil((size + 2 * p - k) / s) + 1
            count -= (count - 1) * s >= size + p
        found.append((p, max((count - 1) * s + k - size - p, 0)))
    return found


def adaptive_avg_pool2d(x: Value, output: Sequence[int]) -> Activation:
    """Write a pool to a fixed size, by a kernel where the size divides, else by matrices of averages."""
    x = activation(x, NHWC)
    sizes = _size(x)
    if all(n % o == 0 for n, o in zip(sizes, output, strict=True)):
        kernel = [n // o for n, o in zip(sizes, output, strict=True)]
        return avg_pool2d(x, kernel, kernel, (0, 0), False, True, None)
    tensor = x.tensor
    for axis, (size, out) in enumerate(zip(sizes, output, strict=True), start=1):
        bounds = _adaptive_bounds(size, out)
        parts = [tf.reduce_mean(_cut(tensor, axis, a, b), axis, keepdims=True) for a, b in bounds]
        tensor = tf.concat(parts, axis) if len(parts) > 1 else parts[0]
    return Activation(tensor, NHWC)


def _adaptive_max_pool2d(x: Value, output: Sequence[int]) -> tuple[Activation]:
    x = activation(x, NHWC)
    tensor = x.tensor
    for axis, (size, out) in enumerate(zip(_size(x), output, strict=True), start=1):
        parts = [tf.reduce_max(_cut(tensor, axis, a, b), axis, keepdims=True) for a, b in _adaptive_bounds(size, out)]
        tensor = tf.concat(parts, axis) if len(parts) > 1 else parts[0]
    return (Activation(tensor, NHWC),)


def _adaptive_bounds(size: int, out: int) -> list[tuple[int, int]]:
    """Return the pixels [from, to) of each output. Source: torch 2.13, aten/src/ATen/native/AdaptivePooling.h."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _cut(tensor: Any, axis: int, start: int, end: int) -> Any:
    return tensor[:, start:end] if axis == 1 else tensor[:, :, start:end]


def upsample_nearest(x: Value, output: Sequence[int] | None, *scales: Any, half_pixel: bool = False) -> Activation:
    """Write a resize to the nearest pixel; of two, torch and TensorFlow take the same."""
    x = activation(x, NHWC)
    size = _output_size(x, output, scales)
    y = tf.raw_ops.ResizeNearestNeighbor(images=x.tensor, size=size, half_pixel_centers=half_pixel)
    return Activation(y, NHWC)


def _upsample_nearest_exact(x: Value, output: Sequence[int] | None, *scales: Any) -> Activation:
    return upsample_nearest(x, output, *scales, half_pixel=True)


def upsample_bilinear(x: Value, output: Sequence[int] | None, align_corners: bool, *scales: Any) -> Activation:
    """Write a bilinear resize, its pixels' centres or corners where torch has them."""
    x = activation(x, NHWC)
    size = _output_size(x, output, scales)
    y = tf.raw_ops.ResizeBilinear(
        images=x.tensor, size=size, align_corners=align_corners, half_pixel_centers=not align_corners
    )
    return Activation(y, NHWC)


def _output_size(x: Activation, output: Sequence[int] | None, scales: Sequence[Any]) -> list[int]:
    """Return (H, W) of a resize; a scale that does not give whole pixels samples elsewhere in torch, and is refused."""
    given = scales[0] if len(scales) == 1 and isinstance(scales[0], Sequence) else scales
    factors = [float(s) for s in given if s is not None] if given is not None else []
    sizes = _size(x)
    if any(not (n * f).is_integer() for n, f in zip(sizes, factors, strict=False)):
        raise ConversionError(f"a resize of {sizes} by {factors} does not give whole pixels", hint="Give it a size")
    return list(output) if output else [int(n * f) for n, f in zip(sizes, factors, strict=True)]


def _size(x: Activation) -> tuple[int, int]:
    """Return (H, W)."""
    height, width = dims(x)[2:]
    assert height is not None, "only the batch is free"
    assert width is not None, "only the batch is free"
    return height, width


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


POOLS: dict[Any, Emitter] = {
    aten.avg_pool2d.default: avg_pool2d,
    aten.max_pool2d.default: max_pool2d,
    aten.max_pool2d_with_indices.default: _max_pool_with_indices,
    aten.adaptive_avg_pool2d.default: adaptive_avg_pool2d,
    aten._adaptive_avg_pool2d.default: adaptive_avg_pool2d,
    aten.adaptive_max_pool2d.default: _adaptive_max_pool2d,
    aten.upsample_nearest2d.vec: upsample_nearest,
    aten.upsample_nearest2d.default: upsample_nearest,
    aten._upsample_nearest_exact2d.vec: _upsample_nearest_exact,
    aten._upsample_nearest_exact2d.default: _upsample_nearest_exact,
    aten.upsample_bilinear2d.vec: upsample_bilinear,
    aten.upsample_bilinear2d.default: upsample_bilinear,
}
