"""Spell out global averages as average pools of a known size.

A mean over H and W leaves a TRANSPOSE before MEAN in the TFLite file; an average pool over the whole image does not.

Rules:
1. adaptive_avg_pool2d to (h, w) that divides the input becomes avg_pool2d.
2. mean over the last two dimensions becomes avg_pool2d, flattened again unless the dimensions are kept.
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
    """Replace adaptive pools (1) and means over the image (2)."""
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
    for node in call_nodes(gm.graph, aten.mean.dim):
        if _is_over_the_image(node):
            _replace_mean(gm, node)
            done += 1
    return outcome(gm, f"spelled out {done} global averages as pools" if done else None)


def _image_size(node: fx.Node) -> tuple[int, int]:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    height, width = source.meta["val"].shape[-2:]
    return int(height), int(width)


def _is_over_the_image(node: fx.Node) -> bool:
    source, dims = node.args[0], node.args[1]
    assert isinstance(source, fx.Node)
    rank = source.meta["val"].ndim
    return rank == 4 and sorted(d % rank for d in cast("list[int]", dims)) == [2, 3]


def _replace_mean(gm: fx.GraphModule, node: fx.Node) -> None:
    kernel = list(_image_size(node))
    pooled = insert_call(gm, node, aten.avg_pool2d.default, (node.args[0], kernel, kernel), node)
    if len(node.args) > 2 and node.args[2]:
        replace_node(gm, node, pooled)
    else:
        replace_node(gm, node, insert_call(gm, node, aten.flatten.using_ints, (pooled, 1), node))
