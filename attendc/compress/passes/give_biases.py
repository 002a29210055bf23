"""Give every convolution and linear layer a bias: LiteRT wants one, and bias correction needs a place to write to.

Rules:
1. One that has none gets a parameter of zeros, one for each output.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["give_biases"]

aten = torch.ops.aten


def give_biases(gm: fx.GraphModule) -> Outcome:
    """Add the missing biases."""
    given = 0
    for node in call_nodes(gm.graph, aten.conv2d.default, aten.linear.default):
        if len(node.args) > 2 and node.args[2] is not None:
            continue
        weight = node.args[1]
        assert isinstance(weight, fx.Node)
        zeros = torch.zeros(len(constant(gm, weight)))
        bias = add_constant(gm, f"{node.name}_bias", zeros, node, trained=True)
        node.args = (*node.args[:2], bias, *node.args[3:])
        given += 1
    return outcome(gm, f"gave {given} layers a bias of zeros" if given else None)
