"""Reshape a tensor whose axes are not in torch's order, without putting them there first where that can be helped.

A reshape joins and splits neighbouring axes. Where the axes that it joins are neighbours in memory too, and in the same
order, memory can be reshaped as it is: flattening H and W of an NHWC tensor is one reshape.

Rules:
1. Axes of size 1 are left out and put back after: they are neighbours of all.
2. What is left falls into groups, each the fewest axes whose product is that of the fewest axes of the result.
3. Memory is reshaped as it is where the axes of each group are neighbours there, in order; else it is transposed until
   they are, each group where its last axis is: NHWC stays NHWC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from attendc.converters.savedmodel_values import Activation, dims, in_order, plain

__all__ = ["reshaped"]

_BATCH = 2_147_483_647
"""Stands for the size of the batch: a prime that divides no other size, so that products tell where it went."""


def reshaped(x: Activation, shape: Sequence[Any]) -> Activation:
    """Return a tensor of torch's `shape`, whose entries may be -1, or scalars of TensorFlow made from the batch."""
    if sum(not _is_known(s) for s in shape) > 1 or dims(x).count(None) > 1:
        return Activation(tf.reshape(in_order(x, plain(len(x.order))), tf.stack(list(shape))), plain(len(shape)))
    before, after = _sizes(dims(x), shape)
    memory = [a for a in x.order if before[a] != 1]  # (1)
    groups = sorted(_groups(before, after), key=lambda group: max(memory.index(a) for a in group[0]))  # (2)
    wanted = [a for group, _ in groups for a in group]
    tensor = x.tensor if wanted == memory else in_order(x, _with_ones(wanted, before))  # (3)
    order = _with_ones([a for _, made in groups for a in made], after)
    sizes = [None if after[a] % _BATCH == 0 else after[a] for a in order]
    if sizes != tensor.shape.as_list():
        tensor = tf.reshape(tensor, [-1 if s is None else s for s in sizes])
    return Activation(tensor, order)


def _is_known(size: Any) -> bool:
    return isinstance(size, int) and size >= 0


def _sizes(held: Sequence[int | None], shape: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Return the sizes before and after, the batch as a multiple of `_BATCH` that divides as the shape wants it."""
    rest = math.prod(s for s in shape if _is_known(s))
    known = math.prod(s for s in held if s is not None)
    batch = _BATCH * (rest // math.gcd(rest, known))
    before = [batch if s is None else s for s in held]
    return before, [s if _is_known(s) else math.prod(before) // rest for s in shape]


def _groups(before: list[int], after: list[int]) -> list[tuple[list[int], list[int]]]:
    """Return which axes become which, the fewest at a time."""
    left, right = ([a for a, size in enumerate(sizes) if size != 1] for sizes in (before, after))
    groups = []
    while left and right:
        group, made = [left.pop(0)], [right.pop(0)]
        a, b = before[group[0]], after[made[0]]
        while a != b:
            if a < b:
                group.append(left.pop(0))
                a *= before[group[-1]]
            else:
                made.append(right.pop(0))
                b *= after[made[-1]]
        groups.append((group, made))
    return groups


def _with_ones(order: list[int], after: list[int]) -> tuple[int, ...]:
    """Put the axes of size 1 behind the axis that is before them in torch."""
    placed = list(order)
    for axis, size in enumerate(after):
        if size == 1:
            placed.insert(placed.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(placed)
