"""Drop what does nothing at inference.

Rules:
1. Dropout, clone, contiguous, detach and alias go, and a cast to the type and device that is there already.
2. So do the assertions that casts leave behind.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import call_nodes, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["drop_no_ops"]

aten = torch.ops.aten

_NO_OPS = (
    aten.dropout.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
)


def drop_no_ops(gm: fx.GraphModule) -> Outcome:
    """Let the users of a no-op read its input, and drop the assertions that casts leave behind."""
    checks = call_nodes(gm.graph, aten._assert_tensor_metadata.default)
    for node in checks:
        gm.graph.erase_node(node)  # 2
    nodes = call_nodes(gm.graph, *_NO_OPS)
    nodes += [n for n in call_nodes(gm.graph, aten._to_copy.default) if _same_type(n)]
    for node in nodes:
        replace_node(gm, node, node.all_input_nodes[0])  # 1
    return outcome(
        gm,
        f"dropped {len(nodes)} operations that do nothing" if nodes else None,
        f"dropped {len(checks)} assertions" if checks and not nodes else None,
    )


def _same_type(node: fx.Node) -> bool:
    before, after = node.all_input_nodes[0].meta["val"], node.meta["val"]
    return bool(before.dtype == after.dtype and before.device == after.device)
