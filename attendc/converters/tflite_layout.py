"""What litert-torch must still be told so that an NHWC graph needs no TRANSPOSE.

Its layout pass knows which operators can run on (N, H, W, C), and puts a TRANSPOSE on both sides of any other. A zero
pad (ZeroPad2d, and the `same` padding of networks that came from TensorFlow) is one that it does not know.
"""

from __future__ import annotations

import torch
from torch import fx, nn

__all__ = ["dequantize_for_each_reader", "teach_layouts"]

_PAD = torch.ops.aten.constant_pad_nd.default
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def dequantize_for_each_reader(gm: nn.Module) -> nn.Module:
    """Give each reader of a tensor of a graph a dequantize of its own, in place, and return the graph.

    Where two readers of one dequantize want another layout than its tensor has, litert-torch 0.10 turns it around for
    the first of them only: its layout pass forgets, with the mark that it sets on the way, that the tensor is NHWC.
    """
    assert isinstance(gm, fx.GraphModule)
    for node in [n for n in gm.graph.nodes if n.target is _DEQUANTIZE]:
        for reader in list(node.users)[1:]:
            with gm.graph.inserting_after(node):
                own = gm.graph.node_copy(node)
            reader.replace_input_with(node, own)
    gm.recompile()
    return gm


def teach_layouts() -> None:
    """Add the missing rewriters to litert-torch's own table; doing it twice changes nothing."""
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters

    if _PAD not in rewriters:
        rewriters.register(_PAD)(_pad_nhwc)


def _pad_nhwc(node: fx.Node) -> None:
    """Turn [left, right, top, bottom] of (N, C, H, W) into the same of (N, H, W, C), whose last axis is not padded."""
    x, sizes, *value = node.args
    assert isinstance(sizes, (list, tuple))
    left_right, top_bottom, channels = (list(sizes) + [0] * 6)[:2], (list(sizes) + [0] * 6)[2:4], list(sizes)[4:6]
    node.args = (x, [*(channels or [0, 0]), *left_right, *top_bottom], *value)
