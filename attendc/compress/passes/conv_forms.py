"""Bring every convolution into the one form that the converters know: conv2d with numbers for its padding.

Rules:
1. padding="same" becomes numbers. Where the two sides differ by one (an even kernel), the larger end is a pad of its
   own; padding="valid" is 0.
2. conv1d on (N, C, L) becomes conv2d on (N, C, 1, L). So does the transposed one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, free_shape, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_convs"]

aten = torch.ops.aten

_IN_TWO_DIMENSIONS: dict[object, tuple[torch._ops.OpOverload, tuple[int, ...]]] = {
    aten.conv1d.default: (aten.conv2d.default, (2,)),
    aten.conv1d.padding: (aten.conv2d.padding, ()),
    aten.conv_transpose1d.default: (aten.conv_transpose2d.input, (2, 3)),
}
"""The operator for (N, C, 1, L), and which arguments after the weight are paddings, of which the height gets none."""


def spell_out_convs(gm: fx.GraphModule) -> Outcome:
    """Replace what rules 1 and 2 name."""
    flat = call_nodes(gm.graph, aten.conv1d.default, aten.conv1d.padding, aten.conv_transpose1d.default)
    for node in flat:
        _as_conv2d(gm, node)
    worded = call_nodes(gm.graph, aten.conv2d.padding)
    for node in worded:
        _pad_by_numbers(gm, node)
    return outcome(
        gm,
        f"{len(flat)} convolutions of sequences became convolutions of images" if flat else None,
        f"{len(worded)} convolutions got numbers for their padding" if worded else None,
    )


def _as_conv2d(gm: fx.GraphModule, node: fx.Node) -> None:
    x, weight, *rest = node.args
    assert isinstance(x, fx.Node)
    assert isinstance(weight, fx.Node)
    image = insert_call(gm, node, aten.reshape.default, (x, _with_height(x)), node)
    value = constant(gm, weight).detach().unsqueeze(2)
    kernel = add_constant(gm, f"{node.name}_weight", value, node, trained=True)
    target, zero_for = _IN_TWO_DIMENSIONS[node.target]
    given: list[Any] = [
        [0 if at in zero_for else 1, *value] if isinstance(value, (list, tuple)) else value
        for at, value in enumerate(rest)
    ]
    conv = insert_call(gm, node, target, (image, kernel, *given), node)
    shape = free_shape(node)
    assert shape is not None, "only the batch is free"
    replace_node(gm, node, insert_call(gm, node, aten.reshape.default, (conv, shape), node))


def _with_height(x: fx.Node) -> list[int]:
    shape = free_shape(x)
    assert shape is not None, "only the batch is free"
    return [*shape[:2], 1, shape[2]]


def _pad_by_numbers(gm: fx.GraphModule, node: fx.Node) -> None:
    given: list[Any] = [*node.args, *[None, [1, 1], "valid", [1, 1], 1][len(node.args) - 2 :]]
    x, weight, bias, stride, word, dilation, groups = given
    kernel = weight.meta["val"].shape[2:]
    whole = [d * (k - 1) for d, k in zip(_pair(dilation), kernel, strict=True)] if word == "same" else [0, 0]
    if any(size % 2 for size in whole):
        rows, columns = (size % 2 for size in whole)
        x = insert_call(gm, node, aten.constant_pad_nd.default, (x, [0, columns, 0, rows]), node)
    args = (x, weight, bias, stride, [size // 2 for size in whole], dilation, groups)
    replace_node(gm, node, insert_call(gm, node, aten.conv2d.default, args, node))


def _pair(value: Any) -> list[int]:
    sizes = [value] if isinstance(value, int) else list(value)
    return [int(s) for s in (sizes * 2 if len(sizes) == 1 else sizes)]
