"""What litert-torch must still be told so that an NHWC graph needs no TRANSPOSE.

Its layout pass knows which operators can run on (N, H, W, C), and puts a TRANSPOSE on both sides of any other. A zero
pad (ZeroPad2d, and the `same` padding of networks that came from TensorFlow) and a pixel shuffle are two that it does
not know.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

__all__ = ["dequantize_for_each_reader", "linear_in_two_dimensions", "permutes", "teach_layouts"]

aten = torch.ops.aten
_PAD = aten.constant_pad_nd.default
_SHUFFLE = aten.pixel_shuffle.default
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default

_NOT_NHWC = (
    aten.permute.default,
    aten.reshape.default,
    aten.view.default,
    aten.flatten.using_ints,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.expand.default,
    aten.matmul.default,
)
"""Operators that read and write dimensions in torch's order, whatever the layout of images is."""


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


def linear_in_two_dimensions(gm: nn.Module) -> nn.Module:
    """Let float linear layers over one row, (N, 1, 1, C), read and write (N, C), in place, and return the graph.

    Of such a layer the LiteRT converter makes a product of matrices of three dimensions that is said to have four,
    and refuses it. ConvNeXt has them where its images have become one pixel.
    """
    assert isinstance(gm, fx.GraphModule)
    for node in [n for n in gm.graph.nodes if n.target is aten.linear.default]:
        shape = list(node.meta["val"].shape)
        if len(shape) < 3 or any(size != 1 for size in shape[1:-1]):
            continue
        with gm.graph.inserting_before(node):
            row = gm.graph.call_function(aten.reshape.default, (node.args[0], [-1, node.args[0].meta["val"].shape[-1]]))
        with gm.graph.inserting_after(node):
            whole = gm.graph.call_function(aten.reshape.default, (node, [-1, *shape[1:]]))
        node.replace_all_uses_with(whole, delete_user_cb=lambda user, whole=whole: user is not whole)
        node.args = (row, *node.args[1:])
    gm.recompile()
    return gm


def teach_layouts() -> None:
    """Add the missing rewriters to litert-torch's own table; doing it twice changes nothing."""
    from litert_torch import fx_infra
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters

    if _PAD not in rewriters:
        rewriters.register(_PAD)(_pad_nhwc)
        rewriters.register(_SHUFFLE)(_shuffle_nhwc)
        fx_infra.decomp.remove_pre_convert_decomp(_SHUFFLE)


def _pad_nhwc(node: fx.Node) -> None:
    """Turn [left, right, top, bottom] of (N, C, H, W) into the same of (N, H, W, C), whose last axis is not padded."""
    x, sizes, *value = node.args
    assert isinstance(sizes, (list, tuple))
    left_right, top_bottom, channels = (list(sizes) + [0] * 6)[:2], (list(sizes) + [0] * 6)[2:4], list(sizes)[4:6]
    node.args = (x, [*(channels or [0, 0]), *left_right, *top_bottom], *value)


def _shuffle_nhwc(node: fx.Node) -> None:
    node.target = _pixel_shuffle_nhwc


def _pixel_shuffle_nhwc(x: Tensor, factor: int) -> Tensor:
    """Shuffle (N, H, W, C * factor * factor), channels in torch's order, to (N, H * factor, W * factor, C)."""
    batch, height, width, channels = x.shape
    out = channels // factor**2
    apart = x.reshape(batch, height, width, out, factor, factor).permute(0, 1, 4, 2, 5, 3)
    return apart.reshape(batch, height * factor, width * factor, out)


def permutes(gm: fx.GraphModule) -> int:
    """Return how many TRANSPOSEs the network asks for itself, at most; 0 for one of convolutions and the like alone.

    A TFLite file has images as (N, H, W, C). A permute and a pixel shuffle are a TRANSPOSE each, and an operator that
    is bound to torch's order of dimensions (a reshape, a product of matrices) has one on each side that is an image of
    several channels and several pixels. A file with more of them has some that only the layout made.
    """
    calls = [n for n in gm.graph.nodes if n.op == "call_function"]
    own = sum(n.target in (aten.permute.default, _SHUFFLE) for n in calls)
    bound = [n for n in calls if n.target in _NOT_NHWC]
    return own + sum(_is_image(one) for n in bound for one in (n, *n.all_input_nodes))


def _is_image(node: fx.Node) -> bool:
    """Return whether (N, H, W, C) and (N, C, H, W) of a computed tensor lie differently in memory."""
    value = node.meta.get("val")
    if node.op == "get_attr" or not isinstance(value, Tensor) or value.ndim != 4:
        return False
    return value.shape[1] > 1 and value.shape[2] * value.shape[3] > 1
