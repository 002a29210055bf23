"""Join reshapes and permutes that follow each other.

Rules:
1. permute(permute(x)) is one permute.
2. A permute that moves no dimension larger than 1 past another is a reshape.
3. reshape(reshape(x)) is the last of them; with rule 2, so is reshape, permute, reshape where that is all it does.
4. What then keeps its shape and order is dropped: two permutes that undo each other, a reshape back.

A dimension that depends on the batch counts as larger than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["join_layouts"]

aten = torch.ops.aten
_RESHAPES = (aten.reshape.default, aten.view.default, aten.flatten.using_ints)


def join_layouts(gm: fx.GraphModule) -> Outcome:
    """Apply rules 1 to 4 to each permute and reshape in order."""
    joined = 0
    for node in call_nodes(gm.graph, aten.permute.default, *_RESHAPES):
        made = _joined_permute(gm, node) if node.target is aten.permute.default else _joined_reshape(gm, node)
        if made is not None:
            replace_node(gm, node, made)
            joined += 1
    return outcome(gm, f"joined {joined} reshapes and permutes with what they follow" if joined else None)


def _joined_permute(gm: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    source, order = cast("fx.Node", node.args[0]), _order(node)
    if source.target is aten.permute.default:  # 1
        inner = _order(source)
        source, order = cast("fx.Node", source.args[0]), [inner[d] for d in order]
    if order == sorted(order):
        return source  # 4
    if _is_reshape(source, order):
        shape = _free_shape(node)
        if shape is not None:
            start = _before_reshapes(source)
            return insert_call(gm, node, aten.reshape.default, (start, shape), node)  # 2, 3
    if source is not node.args[0]:
        return insert_call(gm, node, aten.permute.default, (source, order), node)
    return None


def _joined_reshape(gm: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    source = cast("fx.Node", node.args[0])
    start = _before_reshapes(source)
    if _sizes(start) == _sizes(node):
        return start  # 4
    shape = _free_shape(node)
    if start is source or shape is None:
        return None
    return insert_call(gm, node, aten.reshape.default, (start, shape), node)  # 3


def _before_reshapes(node: fx.Node) -> fx.Node:
    """Return what a row of reshapes that ends in `node` begins with."""
    while node.target in _RESHAPES:
        node = cast("fx.Node", node.args[0])
    return node


def _order(node: fx.Node) -> list[int]:
    order = cast("Sequence[int]", node.args[1])
    return [int(d) % len(order) for d in order]


def _is_reshape(source: fx.Node, order: Sequence[int]) -> bool:
    """Return whether dimensions larger than 1 stay in their order (2)."""
    sizes = source.meta["val"].shape
    large = [d for d in order if not isinstance(sizes[d], int) or sizes[d] != 1]
    return large == sorted(large)


def _free_shape(node: fx.Node) -> list[int] | None:
    """Return the sizes, -1 for one that depends on the batch; None if two do."""
    shape = [size if isinstance(size, int) else -1 for size in node.meta["val"].shape]
    return shape if shape.count(-1) <= 1 else None


def _sizes(node: fx.Node) -> list[str]:
    return [str(size) for size in node.meta["val"].shape]
