"""Turn average pools into depthwise convolutions before quantization. The function stays, the rounding gets a say.

An int8 average pool must keep its input's scale. Then the mean of four integers ends in one half every fourth time, and
each runtime rounds those ties its own way: measured on AttendNeXt, 2 % of the values behind the first pool differed
between two runtimes and nothing before it did. A convolution has an output scale of its own, so there are no ties.
XNNPACK also has no int8 average pool, so each one would break the graph into two partitions.

Rules:
1. avg_pool2d that counts its padding becomes conv2d with one filter of 1/(h*w) per channel.
2. One that leaves the padding out of its mean, or rounds sizes up, is not linear in this way and stays; LiteRT has
   no int8 kernel for it either, so it is refused later.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, replace_node
from attendc.compress.kernel_limits import counts_every_pixel
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["pools_as_convs"]

aten = torch.ops.aten


def pools_as_convs(gm: fx.GraphModule) -> Outcome:
    """Replace the average pools of rule 1; their weights are constants that training leaves alone."""
    done = 0
    for node in call_nodes(gm.graph, aten.avg_pool2d.default):
        if not counts_every_pixel(node):
            continue
        x, kernel, stride, padding = _arguments(node)
        channels = int(x.meta["val"].shape[1])
        filters = torch.full((channels, 1, *kernel), 1.0 / (kernel[0] * kernel[1]))
        weight = add_constant(gm, f"{node.name}_weight", filters, node)
        bias = add_constant(gm, f"{node.name}_bias", torch.zeros(channels), node)
        args = (x, weight, bias, stride, padding, [1, 1], channels)
        replace_node(gm, node, insert_call(gm, node, aten.conv2d.default, args, node))
        done += 1
    return outcome(gm, f"{done} average pools became depthwise convolutions" if done else None)


def _arguments(node: fx.Node) -> tuple[fx.Node, list[int], list[int], list[int]]:
    """Return input, kernel, stride and padding of avg_pool2d with their defaults filled in, sizes as pairs."""
    x, kernel, stride, padding = (*node.args, None, None)[:4]
    assert isinstance(x, fx.Node)
    pair = _pair(kernel)
    return x, pair, _pair(stride) if stride else pair, _pair(padding or 0)


def _pair(value: object) -> list[int]:
    sizes = [value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return [int(s) for s in (sizes * 2 if len(sizes) == 1 else sizes)]
