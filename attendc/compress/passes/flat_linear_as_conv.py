"""Turn a linear layer over a flattened image into a convolution as large as the image.

A flatten of (C, H, W) reads channels last in NHWC, so the TFLite file would need a TRANSPOSE before it. The
convolution has the same weights and sums the same products.

Rules:
1. linear(flatten(x)) with x of (N, C, H, W) and H * W > 1 becomes flatten(conv2d(x)) with a kernel of H x W.
2. A flatten that anything else reads, and weights that another layer shares, stay.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, is_constant, replace_node, set_constant
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["flat_linear_as_conv"]

aten = torch.ops.aten
_FLATTENS = (aten.view.default, aten.reshape.default, aten.flatten.using_ints)


def flat_linear_as_conv(gm: fx.GraphModule) -> Outcome:
    """Replace the layers of rule 1."""
    done = 0
    for node in call_nodes(gm.graph, aten.linear.default):
        flat, weight = node.args[:2]
        assert isinstance(flat, fx.Node)
        assert isinstance(weight, fx.Node)
        if not _flattens_image(flat) or len(flat.users) != 1 or not is_constant(weight) or len(weight.users) != 1:
            continue
        image = flat.all_input_nodes[0]
        kernel = image.meta["val"].shape[1:]
        set_constant(gm, weight, constant(gm, weight).detach().reshape(-1, *kernel))
        weight.meta["val"] = constant(gm, weight)
        args = (image, weight, *node.args[2:3], [1, 1], [0, 0], [1, 1], 1)
        conv = insert_call(gm, node, aten.conv2d.default, args, node)
        replace_node(
            gm, node, insert_call(gm, node, aten.reshape.default, (conv, [-1, len(constant(gm, weight))]), node)
        )
        done += 1
    return outcome(gm, f"{done} linear layers over an image became convolutions" if done else None)


def _flattens_image(node: fx.Node) -> bool:
    """Return whether a node makes (N, C * H * W) of an image with more than one pixel."""
    if node.target not in _FLATTENS or node.meta["val"].ndim != 2:
        return False
    shape = node.all_input_nodes[0].meta["val"].shape
    return len(shape) == 4 and shape[2] * shape[3] > 1 and node.meta["val"].shape[1] == math.prod(shape[1:])
