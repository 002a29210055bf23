"""Spell out activations that LiteRT does not have as one operation.

Rules:
1. SiLU(x) = x * sigmoid(x): without it, the inside of SiLU would stay float. XNNPACK joins the two again into one
   table look-up.
2. Hardsigmoid(x) = relu6(x + 3) * (1/6).
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, replace_node

__all__ = ["decompose_activations"]

aten = torch.ops.aten


def decompose_activations(gm: fx.GraphModule) -> list[str]:
    """Replace SiLU (1) and hardsigmoid (2)."""
    silus = call_nodes(gm.graph, aten.silu.default)
    for node in silus:
        x = node.args[0]
        gate = insert_call(gm, node, aten.sigmoid.default, (x,), node)
        replace_node(gm, node, insert_call(gm, node, aten.mul.Tensor, (x, gate), node))
    hard = call_nodes(gm.graph, aten.hardsigmoid.default)
    for node in hard:
        three = add_constant(gm, "hardsigmoid_shift", torch.tensor([3.0]), node)
        sixth = add_constant(gm, "hardsigmoid_factor", torch.tensor([1 / 6]), node)
        shifted = insert_call(gm, node, aten.add.Tensor, (node.args[0], three), node)
        clipped = insert_call(gm, node, aten.hardtanh.default, (shifted, 0.0, 6.0), node)
        replace_node(gm, node, insert_call(gm, node, aten.mul.Tensor, (clipped, sixth), node))
    counts = (("SiLU", silus), ("hardsigmoid", hard))
    return [f"spelled out {len(nodes)} {name}" for name, nodes in counts if nodes]
