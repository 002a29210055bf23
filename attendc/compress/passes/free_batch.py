"""Let reshapes infer the batch size: view(x, [batch, 256]) becomes reshape(x, [-1, 256]).

Rules:
1. A view becomes a reshape, which also takes the channels-last tensors of training.
2. Where the batch is the only size that is not a number, it becomes -1. A size that is read from a tensor becomes a
   constant when the graph is traced for TorchScript, and a row of shape operators in ONNX.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import call_nodes
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["free_batch"]

aten = torch.ops.aten


def free_batch(gm: fx.GraphModule) -> Outcome:
    """Rewrite views and reshapes in which the batch is the only size that is not a number."""
    freed = renamed = 0
    for node in call_nodes(gm.graph, aten.view.default, aten.reshape.default):
        shape = node.args[1]
        assert isinstance(shape, (list, tuple))
        was_view, node.target = node.target is aten.view.default, aten.reshape.default  # 1
        unknown = [d for d in shape if not isinstance(d, int)]
        if len(unknown) == 1 and -1 not in shape and _is_batch(unknown[0]):
            node.args = (node.args[0], [d if isinstance(d, int) else -1 for d in shape])  # 2
            freed += 1
        else:
            renamed += was_view
    return outcome(
        gm,
        f"freed the batch size of {freed} reshapes" if freed else None,
        f"{renamed} views became reshapes" if renamed else None,
    )


def _is_batch(size: object) -> bool:
    return isinstance(size, fx.Node) and size.target is aten.sym_size.int and bool(size.args[1] == 0)
