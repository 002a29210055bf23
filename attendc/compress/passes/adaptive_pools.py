"""Spell out adaptive pools whose output does not divide the image.

Output i of n over a length L sees the pixels from floor(i L / n) to ceil((i + 1) L / n), as torch has it. Rows and
columns are pooled one after the other, which for a maximum and for a mean of means of equal size is the same.

Rules:
1. Where all windows have one size and one distance, it is an ordinary pool.
2. Else each window is a slice and a pool of its own, and they are concatenated.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_adaptive_pools"]

aten = torch.ops.aten
_ORDINARY = {
    aten.adaptive_avg_pool2d.default: aten.avg_pool2d.default,
    aten.adaptive_max_pool2d.default: aten.max_pool2d.default,
}

Windows = Sequence[tuple[int, int]]


def spell_out_adaptive_pools(gm: fx.GraphModule) -> Outcome:
    """Replace adaptive pools of (N, C, H, W); of a maximum whose positions are read, none."""
    done = 0
    for node in call_nodes(gm.graph, *_ORDINARY):
        readers = [node]
        if node.target is aten.adaptive_max_pool2d.default:
            readers = [u for u in node.users if u.target is operator.getitem]
            if any(u.args[1] != 0 for u in readers):
                continue
        new = _pooled(gm, node)
        for reader in readers:
            replace_node(gm, reader, new)
        done += 1
    return outcome(gm, f"spelled out {done} adaptive pools" if done else None)


def windows(length: int, count: int) -> Windows:
    """Return (first, behind the last) pixel of each of `count` outputs over `length` pixels."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def _pooled(gm: fx.GraphModule, node: fx.Node) -> fx.Node:
    x = node.all_input_nodes[0]
    sizes = [int(s) for s in x.meta["val"].shape[2:]]
    counts = cast("list[int]", node.args[1])
    axes = [windows(size, count) for size, count in zip(sizes, counts, strict=True)]
    even = [_even(axis) for axis in axes]
    if even[0] and even[1]:
        return _pool(gm, node, x, *zip(even[0], even[1], strict=True))
    for axis, parts in enumerate(axes):
        x = _along(gm, node, x, axis, parts)
    return x


def _even(parts: Windows) -> tuple[int, int] | None:
    """Return (size, distance) of windows that have one of each, else None."""
    sizes = {end - start for start, end in parts}
    distances = {after[0] - before[0] for before, after in itertools.pairwise(parts)} or {1}
    if len(sizes) > 1 or len(distances) > 1 or distances == {0}:
        return None
    return sizes.pop(), distances.pop()


def _along(gm: fx.GraphModule, node: fx.Node, x: fx.Node, axis: int, parts: Windows) -> fx.Node:
    """Return x pooled over its rows (axis 0) or columns (axis 1)."""
    even = _even(parts)
    if even is not None:
        return _pool(gm, node, x, *(_only(axis, value) for value in even))
    pooled = []
    for start, end in parts:
        part = insert_call(gm, node, aten.slice.Tensor, (x, axis + 2, start, end), node)
        size = _only(axis, end - start)
        pooled.append(_pool(gm, node, part, size, size))
    return insert_call(gm, node, aten.cat.default, (pooled, axis + 2), node)


def _only(axis: int, value: int) -> list[int]:
    return [value, 1] if axis == 0 else [1, value]


def _pool(gm: fx.GraphModule, node: fx.Node, x: fx.Node, kernel: Sequence[int], stride: Sequence[int]) -> fx.Node:
    if list(kernel) == [1, 1] == list(stride):
        return x
    target: Any = _ORDINARY[cast("Any", node.target)]
    return insert_call(gm, node, target, (x, list(kernel), list(stride)), node)
