"""Spell out global averages and maxima as pools of a known size.

A mean over H and W leaves a TRANSPOSE before MEAN in the TFLite file; an average pool over the whole image does not.

Rules:
1. adaptive_avg_pool2d to (h, w) that divides the input becomes avg_pool2d.
2. mean over the last two dimensions of an image, or one of them, becomes avg_pool2d; amax likewise max_pool2d.
3. Any other mean or amax keeps its dimensions, and a reshape drops them. max(dim) whose positions nobody reads is amax.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_pools"]

aten = torch.ops.aten


def spell_out_pools(gm: fx.GraphModule) -> Outcome:
    """Replace adaptive pools (1) and reductions over the image (2); let others keep their dimensions (3)."""
    done = 0
    for node in call_nodes(gm.graph, aten.adaptive_avg_pool2d.default):
        height, width = _image_size(node)
        rows, columns = cast("list[int]", node.args[1])
        if height % rows or width % columns:
            continue
        kernel = [height // rows, width // columns]
        args = (node.args[0], kernel, kernel)
        replace_node(gm, node, insert_call(gm, node, aten.avg_pool2d.default, args, node))
        done += 1
    reductions = _maxima(gm)
    for node in call_nodes(gm.graph, aten.mean.dim, aten.amax.default):
        dims = _dims(node)
        if dims and _rank(node) == 4 and min(dims) >= 2:
            _replace_reduction(gm, node, dims)
            done += 1
        elif dims and 0 not in dims and not _keeps(node):
            _keep_dims(gm, node, dims)
            reductions += 1
    return outcome(
        gm,
        f"spelled out {done} global averages as pools" if done else None,
        f"gave {reductions} means and maxima another spelling" if reductions else None,
    )


def _maxima(gm: fx.GraphModule) -> int:
    """Replace max(dim), of which only the values are read."""
    done = 0
    for node in call_nodes(gm.graph, aten.max.dim):
        if any(user.args[1] != 0 for user in node.users):
            continue
        x, dim, *keep = node.args
        for user in list(node.users):
            replace_node(gm, user, insert_call(gm, node, aten.amax.default, (x, [dim], *keep), node))
        gm.graph.erase_node(node)
        done += 1
    return done


def _image_size(node: fx.Node) -> tuple[int, int]:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    height, width = source.meta["val"].shape[-2:]
    return int(height), int(width)


def _rank(node: fx.Node) -> int:
    return int(node.all_input_nodes[0].meta["val"].ndim)


def _dims(node: fx.Node) -> list[int]:
    """Return the dimensions that are reduced, in order; none where all are."""
    given = node.args[1] if len(node.args) > 1 else []
    return sorted(d % _rank(node) for d in cast("list[int]", given or []))


def _keeps(node: fx.Node) -> bool:
    return len(node.args) > 2 and bool(node.args[2])


def _replace_reduction(gm: fx.GraphModule, node: fx.Node, dims: list[int]) -> None:
    kernel = [size if d in dims else 1 for d, size in zip((2, 3), _image_size(node), strict=True)]
    target = aten.avg_pool2d.default if node.target is aten.mean.dim else aten.max_pool2d.default
    pooled = insert_call(gm, node, target, (node.args[0], kernel, kernel), node)
    if not _keeps(node):
        pooled = _dropped(gm, node, pooled, dims)
    replace_node(gm, node, pooled)


def _keep_dims(gm: fx.GraphModule, node: fx.Node, dims: list[int]) -> None:
    kept = insert_call(gm, node, node.target, (node.args[0], dims, True), node)  # type: ignore[arg-type]
    replace_node(gm, node, _dropped(gm, node, kept, dims))


def _dropped(gm: fx.GraphModule, node: fx.Node, kept: fx.Node, dims: list[int]) -> fx.Node:
    """Return `kept` without the dimensions of size 1 that `dims` names."""
    if dims == [2, 3]:
        return insert_call(gm, node, aten.flatten.using_ints, (kept, 1), node)
    sizes = [int(s) for d, s in enumerate(kept.meta["val"].shape) if d and d not in dims]
    return insert_call(gm, node, aten.reshape.default, (kept, [-1, *sizes]), node)
