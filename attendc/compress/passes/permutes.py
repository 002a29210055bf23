"""One spelling for what reorders dimensions.

Rules:
1. transpose and t become permute.
2. channel_shuffle is reshape, permute, reshape; so is pixel_unshuffle.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_permutes"]

aten = torch.ops.aten


def spell_out_permutes(gm: fx.GraphModule) -> Outcome:
    """Replace what rules 1 and 2 name."""
    transposes = call_nodes(gm.graph, aten.transpose.int, aten.t.default)
    for node in transposes:
        order = list(range(node.meta["val"].ndim))
        first, second = cast("tuple[int, int]", node.args[1:]) if len(node.args) > 1 else (0, -1)
        order[first], order[second] = order[second], order[first]
        replace_node(gm, node, insert_call(gm, node, aten.permute.default, (node.args[0], order), node))
    shuffles = call_nodes(gm.graph, aten.channel_shuffle.default, aten.pixel_unshuffle.default)
    for node in shuffles:
        _spell_shuffle(gm, node)
    return outcome(
        gm,
        f"{len(transposes)} transposes became permutes" if transposes else None,
        f"spelled out {len(shuffles)} shuffles" if shuffles else None,
    )


def _spell_shuffle(gm: fx.GraphModule, node: fx.Node) -> None:
    x, factor = cast("tuple[fx.Node, int]", node.args)
    channels, height, width = (int(size) for size in x.meta["val"].shape[1:])
    if node.target is aten.channel_shuffle.default:
        apart, order = [-1, factor, channels // factor, height, width], [0, 2, 1, 3, 4]
    else:
        apart, order = [-1, channels, height // factor, factor, width // factor, factor], [0, 1, 3, 5, 2, 4]
    y = insert_call(gm, node, aten.reshape.default, (x, apart), node)
    y = insert_call(gm, node, aten.permute.default, (y, order), node)
    shape = [-1, *(int(size) for size in node.meta["val"].shape[1:])]
    replace_node(gm, node, insert_call(gm, node, aten.reshape.default, (y, shape), node))
