"""Give instance norms the spelling of what they are.

Rules:
1. One that takes its statistics from the image is a group norm with as many groups as channels.
2. One with statistics from training is a product with constants and a sum, as a batch norm is.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_instance_norms"]

aten = torch.ops.aten


def spell_out_instance_norms(gm: fx.GraphModule) -> Outcome:
    """Replace instance norms of the image (1) and of training (2)."""
    nodes = call_nodes(gm.graph, aten.instance_norm.default)
    for node in nodes:
        replace_node(gm, node, _group_norm(gm, node) if node.args[5] else _product_and_sum(gm, node))
    return outcome(gm, f"gave {len(nodes)} instance norms another spelling" if nodes else None)


def _group_norm(gm: fx.GraphModule, node: fx.Node) -> fx.Node:
    x, weight, bias, _, _, _, _, eps = node.args[:8]
    channels = int(node.meta["val"].shape[1])
    return insert_call(gm, node, aten.group_norm.default, (x, channels, weight, bias, eps), node)


def _product_and_sum(gm: fx.GraphModule, node: fx.Node) -> fx.Node:
    x, weight, bias, mean, variance, _, _, eps = cast("tuple[Any, ...]", node.args[:8])
    factor = torch.rsqrt(constant(gm, variance).double() + eps)
    if weight is not None:
        factor = factor * constant(gm, weight).detach().double()
    offset = -constant(gm, mean).double() * factor
    if bias is not None:
        offset = offset + constant(gm, bias).detach().double()
    y = x
    for target, value in ((aten.mul.Tensor, factor), (aten.add.Tensor, offset)):
        shaped = value.float().reshape(1, -1, *(1,) * (node.meta["val"].ndim - 2))
        y = insert_call(gm, node, target, (y, add_constant(gm, f"{node.name}_constant", shaped, node)), node)
    return cast("fx.Node", y)
