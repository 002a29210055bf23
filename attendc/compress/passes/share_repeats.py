"""Compute once what is computed twice: AttendNeXt pools the same image in both branches of every condenser.

Rules:
1. A call of the same operator with the same arguments as an earlier one goes; its users read the earlier one.
"""

from __future__ import annotations

from torch import fx

from attendc.compress.graph import call_nodes, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["share_repeats"]


def share_repeats(gm: fx.GraphModule) -> Outcome:
    """Let the users of a call read an earlier call of the same operator with the same arguments."""
    first: dict[object, fx.Node] = {}
    shared = 0
    for node in call_nodes(gm.graph):
        key = (node.target, repr(node.args), repr(sorted(node.kwargs.items())))
        if key in first:
            replace_node(gm, node, first[key])
            shared += 1
        first.setdefault(key, node)
    return outcome(gm, f"shared {shared} operations that were computed twice" if shared else None)
