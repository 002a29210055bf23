"""One spelling for what only changes the shape, with -1 for the one size that depends on the batch.

Rules:
1. view, squeeze, unsqueeze, unflatten and the exporter's _unsafe_view become reshape, which also takes the
   channels-last tensors of training.
2. The size that depends on the batch is -1, in [batch, 256] as well as in the [5, 2 * batch, 4] of attention, whose
   heads lie in the batch. A size that is read from a tensor becomes a constant when the graph is traced for
   TorchScript, and a row of shape operators in ONNX.
3. A reshape to the shape that its input has goes.

Where two sizes depend on the batch, a reshape stays as it is.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import call_nodes, free_shape, insert_call, replace_node, same_shape
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["free_batch"]

aten = torch.ops.aten

_RESHAPES = (aten.view.default, aten.reshape.default)
_SPELLINGS = (
    aten._unsafe_view.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.unflatten.int,
)


def free_batch(gm: fx.GraphModule) -> Outcome:
    """Rewrite every reshape of which at most one size depends on the batch."""
    freed = renamed = dropped = 0
    for node in call_nodes(gm.graph, *_RESHAPES, *_SPELLINGS):
        source, shape = node.all_input_nodes[0], free_shape(node)
        if same_shape(source, node):
            replace_node(gm, node, source)  # 3
            dropped += 1
        elif node.target not in _RESHAPES:
            if shape is not None:
                replace_node(gm, node, insert_call(gm, node, aten.reshape.default, (source, shape), node))  # 1
                renamed += 1
        else:
            was_view, node.target = node.target is aten.view.default, aten.reshape.default  # 1
            if shape is not None and any(isinstance(size, fx.Node) for size in node.args[1]):  # type: ignore[union-attr]
                node.args = (source, shape)  # 2
                freed += 1
            else:
                renamed += was_view
    return outcome(
        gm,
        f"freed the batch size of {freed} reshapes" if freed else None,
        f"{renamed} views became reshapes" if renamed else None,
        f"dropped {dropped} reshapes to the same shape" if dropped else None,
    )
