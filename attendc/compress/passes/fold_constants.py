"""Compute once, at compression, what depends on no input: masks, position biases, standardized weights.

Rules:
1. An operator whose arguments are numbers and constants is replaced by its result.
2. What draws random numbers stays, and so does what depends on the size of the batch.
3. The result is trained by QAT if a parameter went into it.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from attendc.compress.graph import add_constant, call_nodes, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["fold_constants"]


def fold_constants(gm: fx.GraphModule) -> Outcome:
    """Replace the operators of rule 1 whose results something else reads."""
    values: dict[fx.Node, Any] = {n: constant(gm, n) for n in gm.graph.nodes if n.op == "get_attr"}
    trained = {n for n, value in values.items() if isinstance(value, nn.Parameter)}
    for node in call_nodes(gm.graph):
        if all(source in values for source in node.all_input_nodes) and _is_pure(node):
            values[node] = _computed(node, values)
            trained |= {node} if trained.intersection(node.all_input_nodes) else set()
    folded = [n for n in values if n.op == "call_function" and isinstance(values[n], Tensor)]
    folded = [n for n in folded if any(user not in values for user in n.users)]
    for node in folded:
        value = values[node].detach().clone(memory_format=torch.contiguous_format)
        is_trained = node in trained and value.is_floating_point()
        replace_node(gm, node, add_constant(gm, f"{node.name}_folded", value, node, trained=is_trained))
    return outcome(gm, f"computed {len(folded)} constants" if folded else None)


@torch.no_grad()
def _computed(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n])
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _is_pure(node: fx.Node) -> bool:
    """Return whether a call gives the same whenever it is made (2)."""
    if node.target is operator.getitem:
        return True
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded not in node.target.tags
