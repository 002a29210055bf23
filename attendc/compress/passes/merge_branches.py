"""Merge convolutions of one input whose outputs are added: what RepVGG and MobileOne train with, and run without.

Batch norms are folded before: that of an identity branch is a 1x1 depthwise convolution by then.

Rules:
1. conv(x) + conv(x) with the same stride, where nothing else reads either, becomes one convolution. The smaller kernel
   is added into the larger one at the place where both read the same pixels; biases are added.
2. It has as many groups as divide those of both. Between them are zeros.
3. It must not have more weights than both together: that is what it costs at each pixel.
4. Three branches and more are merged one after the other. A sum that adds the input itself, without any weights, stays.

Source: arXiv 2101.03697, section 3.3; 2206.04040, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, fx

from attendc.compress.graph import call_nodes, replace_node
from attendc.compress.passes.convolutions import Conv, conv_of, dense, grouped, insert_conv
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["merge_branches"]

aten = torch.ops.aten


def merge_branches(gm: fx.GraphModule) -> Outcome:
    """Replace the sums of rule 1."""
    done = 0
    for node in call_nodes(gm.graph, aten.add.Tensor):  # in order, so that a merged pair meets the next branch (4)
        if node.kwargs.get("alpha", 1) != 1:
            continue
        branches = [conv_of(gm, source) for source in node.args[:2]]
        first, second = branches
        if first is None or second is None or not _parallel(first, second):
            continue
        merged = _merged(first, second)
        if merged is None or merged.weight.numel() > first.weight.numel() + second.weight.numel():  # 3
            continue
        replace_node(gm, node, insert_conv(gm, node, first.node, merged))
        for branch in (first, second):
            gm.graph.erase_node(branch.node)
        done += 1
    return outcome(gm, f"merged {done} pairs of parallel convolutions" if done else None)


def _parallel(first: Conv, second: Conv) -> bool:
    """Return whether two different convolutions read the same, only to be added."""
    same = first.x is second.x and first.geometry.stride == second.geometry.stride
    shapes = [str(c.node.meta["val"].shape) for c in (first, second)]
    return same and first.node is not second.node and shapes[0] == shapes[1] and _read_once(first, second)


def _read_once(*convs: Conv) -> bool:
    return all(len(conv.node.users) == 1 for conv in convs)


def _merged(first: Conv, second: Conv) -> Conv | None:
    """Return the sum as one convolution; None where no kernel holds the other (1)."""
    for large, small in ((first, second), (second, first)):
        place = _place(large, small)
        if place is None:
            continue
        groups = math.gcd(large.groups, small.groups)  # 2
        weight = _in_groups(large, groups)
        rows, columns = place
        weight[:, :, rows : rows + small.kernel[0], columns : columns + small.kernel[1]] += _in_groups(small, groups)
        return replace(large, weight=weight, bias=large.bias + small.bias, groups=groups)
    return None


def _in_groups(conv: Conv, groups: int) -> Tensor:
    """Return a copy of the weight as one of so many groups."""
    return grouped(dense(conv.weight, conv.groups), groups).clone()


def _place(large: Conv, small: Conv) -> tuple[int, int] | None:
    """Return (row, column) of the large kernel on which the small one begins; None if it does not fit in."""
    found = []
    for axis in range(2):
        step = large.geometry.dilation[axis]
        if small.kernel[axis] > 1 and small.geometry.dilation[axis] != step:
            return None
        begin, rest = divmod(large.geometry.padding[axis] - small.geometry.padding[axis], step)
        if rest or begin < 0 or begin + small.kernel[axis] > large.kernel[axis]:
            return None
        found.append(begin)
    return found[0], found[1]
