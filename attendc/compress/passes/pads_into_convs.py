"""Let a convolution do its own zero padding.

Rules:
1. A zero pad that is the same on both sides of each axis, and that only convolutions with zero padding of their own
   read, is added to theirs.
2. An uneven one (the `same` padding of networks from TensorFlow, at stride 2) stays: torch has no such convolution.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["pads_into_convs"]

aten = torch.ops.aten


def pads_into_convs(gm: fx.GraphModule) -> Outcome:
    """Remove the pads of rule 1."""
    done = 0
    for node in call_nodes(gm.graph, aten.constant_pad_nd.default, aten.pad.default):
        padding = _even_padding(node)
        users = list(node.users)
        if padding is None or any(u.target is not aten.conv2d.default or u.args[0] is not node for u in users):
            continue
        for conv in users:
            args: list[Any] = [*conv.args, *[None, [1, 1], [0, 0]][len(conv.args) - 2 :]]
            args[4] = [p + extra for p, extra in zip(args[4], padding, strict=True)]
            conv.args = tuple(args)
        replace_node(gm, node, node.all_input_nodes[0])
        done += 1
    return outcome(gm, f"{done} pads became part of convolutions" if done else None)


def _even_padding(node: fx.Node) -> list[int] | None:
    """Return [rows, columns] of a zero pad that is the same on both sides of an image, else None."""
    sizes = cast("list[int]", node.args[1])
    # constant_pad_nd(x, sizes, value=0); pad(x, sizes, mode="constant", value=None)
    rest = ["constant", *node.args[2:]] if node.target is aten.constant_pad_nd.default else node.args[2:]
    given: list[Any] = [*rest, *["constant", None][len(rest) :]]
    mode, value = given
    if mode != "constant" or value not in (0, None) or len(sizes) != 4 or sizes[0] != sizes[1] or sizes[2] != sizes[3]:
        return None
    return [sizes[2], sizes[0]]
