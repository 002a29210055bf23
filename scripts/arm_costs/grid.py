"""The shapes that are measured: hundreds of files of one operator each, the same in every run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from arm_costs.build import Net
from arm_costs.plain import PLAIN, reshape

__all__ = ["Case", "cases"]

_MOST_MACS = 12_000_000
"""Of a case, so that all of them take minutes; the costs of larger ones are multiples."""
_CHANNELS = (4, 6, 8, 10, 12, 15, 16, 18, 20, 24, 28, 31, 32, 36, 40, 44, 48, 56, 64, 88, 93, 96, 128, 184)
_INPUTS = (1, 2, 3, 5, 7, *_CHANNELS)
_SIZES = ((4, 4), (5, 5), (7, 7), (8, 8), (9, 9), (10, 10), (14, 14), (15, 17), (20, 20), (28, 28), (32, 32), (56, 56))
_KERNELS = ((1, 1), (3, 3), (3, 3), (3, 3), (4, 1), (4, 4), (5, 5), (2, 2), (1, 3))
_PLAIN_SHAPES = (
    *((1, 1, 96), (7, 7, 93), (14, 14, 176), (28, 28, 40), (56, 56, 12)),
    *((7, 7, 372), (14, 14, 16), (28, 28, 84)),
)
_MANY_CHANNELS = (16, 24, 40, 48, 64, 84, 128, 352)
"""For kinds whose cost a pixel is no line over the channels."""
_RANDOM = {"int8": 120, "float32": 60}
"""Convolutions of shapes drawn at random."""


@dataclass(frozen=True)
class Case:
    """Attributes:
    name: unique, under which its count is kept.
    build: makes the network.
    base: makes the same network without what is measured; None: an empty one.
    """

    name: str
    build: Callable[[], Net]
    base: Callable[[], Net] | None = None


def cases(dtype: str) -> list[Case]:
    """Return the grid for `int8` or `float32`."""
    made = [*_convolutions(dtype), *_linears(dtype), *_depthwises(dtype), *_products(dtype), *_plains(dtype)]
    return list({case.name: case for case in made}.values())


def _case(dtype: str, name: str, shape: Sequence[int], add: Callable[[Net], object]) -> Case:
    def build() -> Net:
        net = Net(dtype, (1, *shape))
        add(net)
        return net

    return Case(f"{dtype} {name} {'x'.join(map(str, shape))}", build)


def _convolutions(dtype: str) -> Iterator[Case]:
    """Yield convolutions: first each part of the formula by itself, then shapes at random, 1x1 every third of them."""
    for inputs, kernel in itertools.product((1, 3, 4, 8, 10, 12, 16, 20, 24, 32, 44, 48, 93, 96), ((1, 1), (3, 3))):
        yield _conv(dtype, (10, 10), inputs, 16, 1, kernel, (1, 1))
    for outputs, kernel in itertools.product((1, 4, 8, 10, 12, 16, 24, 31, 32, 44), ((1, 1), (3, 3))):
        yield _conv(dtype, (7, 9), 32, outputs, 1, kernel, (1, 1))
    for groups, kernel, size in itertools.product((2, 4, 8), ((1, 1), (3, 3)), ((7, 7),)):
        yield _conv(dtype, size, 16 * groups, 16 * groups, groups, kernel, (1, 1))
    for inputs, outputs, kernel in itertools.product((16, 72, 240), (8, 24, 120), ((1, 1), (3, 3))):
        yield _conv(dtype, (1, 1), inputs, outputs, 1, kernel, (1, 1))
    rng = random.Random(1)
    for index in range(_RANDOM[dtype]):
        kernel = (1, 1) if index % 3 == 0 else rng.choice(_KERNELS)
        groups = rng.choice((1, 1, 2, 4, 4, 8))
        stride = rng.choice((1, 1, 1, 2, 4)) if kernel != (1, 1) or index % 2 else 1
        inputs = rng.choice(_INPUTS if groups == 1 else _CHANNELS) * groups
        yield _conv(dtype, rng.choice(_SIZES), inputs, rng.choice(_CHANNELS) * groups, groups, kernel, (stride, stride))


def _conv(
    dtype: str,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    groups: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
) -> Case:
    """Return a convolution whose output has that size, or, where that is much work, a smaller one."""
    each = inputs * outputs // groups * kernel[0] * kernel[1]
    while size[0] * size[1] * each > _MOST_MACS and min(size) > 1:
        size = (size[0] // 2, size[1] // 2)
    shape = (size[0] * stride[0], size[1] * stride[1], inputs)
    name = f"conv {outputs} g{groups} k{kernel[0]}x{kernel[1]} s{stride[0]}"
    return _case(dtype, name, shape, lambda net: net.conv(outputs, kernel, groups=groups, stride=stride))


def _linears(dtype: str) -> Iterator[Case]:
    pairs = [
        (64, 10),
        (256, 10),
        (96, 24),
        (24, 96),
        (128, 128),
        (256, 100),
        (744, 1000),
        (384, 48),
        (72, 20),
        (93, 33),
    ]
    for shape, (inputs, outputs) in [*(((), pair) for pair in pairs), *itertools.product(((16,), (65,)), pairs[:4])]:
        yield _case(dtype, f"linear {outputs}", (*shape, inputs), partial(Net.linear, outputs=outputs))


def _depthwises(dtype: str) -> Iterator[Case]:
    kernels = ((1, 1), (2, 2), (3, 3), (5, 5))
    for kernel, channels, size in itertools.product(kernels, (8, 12, 20, 40, 93), (7, 28)):
        yield _depthwise(dtype, size, channels, kernel, 1)
    for kernel, channels, size in itertools.product(((3, 3), (5, 5)), (30, 64), (14,)):
        yield _depthwise(dtype, size, channels, kernel, 2)
    for kernel, channels, size in itertools.product(((7, 7), (6, 6)), (16, 40), (4, 14)):
        yield _depthwise(dtype, size, channels, kernel, 1)
    for kernel, channels in itertools.product((7, 14), (16, 96, 372)):
        yield _depthwise(dtype, 1, channels, (kernel, kernel), kernel)


def _depthwise(dtype: str, size: int, channels: int, kernel: tuple[int, int], stride: int) -> Case:
    shape = (size * stride, size * stride, channels)
    name = f"depthwise k{kernel[0]}x{kernel[1]} s{stride}"
    return _case(dtype, name, shape, lambda net: net.depthwise(kernel, (stride, stride)))


def _products(dtype: str) -> Iterator[Case]:
    """Yield products of a tensor with itself, transposed: (B, M, K) -> (B, M, M)."""
    for batch, rows, depth in itertools.product((1, 4), (16, 49), (12, 32)):
        yield _case(dtype, f"product of {batch}", (rows, depth), partial(Net.product, batch=batch))


def _plains(dtype: str) -> Iterator[Case]:
    for (name, (dtypes, add)), shape in itertools.product(PLAIN.items(), _PLAIN_SHAPES):
        if dtype in dtypes:
            yield _case(dtype, name, shape, add)
    for channels, kind in itertools.product(_MANY_CHANNELS, ("SOFTMAX", "AVERAGE_POOL_2D 3/2")):
        yield _case(dtype, kind, (8, 8, channels), PLAIN[kind][1])
    for shape in _PLAIN_SHAPES:
        yield _reshape(dtype, shape)


def _reshape(dtype: str, shape: tuple[int, int, int]) -> Case:
    """Return a RESHAPE between two operators: at the end of a file it would have to copy."""

    def between(*, reshaped: bool) -> Net:
        net = Net(dtype, (1, *shape))
        net.conv(4)
        if reshaped:
            reshape(net)
        net.conv(4)
        return net

    name = f"{dtype} RESHAPE {'x'.join(map(str, shape))}"
    return Case(name, lambda: between(reshaped=True), lambda: between(reshaped=False))
