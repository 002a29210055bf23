"""Part tensors whose range the runtime fixes from those that they are joined with.

All inputs of a concatenation or a maximum have one scale in int8. If one of them is a sigmoid, that scale is 1/256, and
the others would be cut off at 1.

Rules:
1. Where inputs with a fixed range meet others, each of the fixed ones is multiplied by 1: the product has a range of
   its own, which the others may share.
2. Inputs that all have the same fixed range stay.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.compress.rules import rule_of
from attendc.compress.tensors import sources
from attendc.types import QuantParams

__all__ = ["free_fixed_ranges"]

aten = torch.ops.aten


def free_fixed_ranges(gm: fx.GraphModule) -> Outcome:
    """Insert the products of rule 1."""
    done = 0
    for node in call_nodes(gm.graph, aten.cat.default, aten.maximum.default):
        fixed = {source: _fixed(source) for source in node.all_input_nodes}
        if len(set(fixed.values())) == 1:
            continue
        for source in [s for s, params in fixed.items() if params is not None]:
            one = add_constant(gm, f"{node.name}_one", torch.ones((1,) * source.meta["val"].ndim), node)
            node.replace_input_with(source, insert_call(gm, node, aten.mul.Tensor, (source, one), source))
            done += 1
    return outcome(gm, f"gave {done} tensors with a fixed range one of their own" if done else None)


def _fixed(node: fx.Node) -> QuantParams | None:
    """Return the parameters that a tensor takes from the operator that the runtime fixes; None if it has its own."""
    rule = rule_of(node)
    if rule is None or rule.output == "own":
        return None
    if rule.fixed is not None:
        return rule.fixed
    found = {_fixed(source) for source in sources(node, rule)}
    return found.pop() if len(found) == 1 else None
