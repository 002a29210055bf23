"""Merge two convolutions with nothing between them.

Rules:
1. A 1x1 convolution without padding joins the convolution before it, whatever that is: W = W2 W1, b = W2 b1 + b2. Its
   stride is multiplied with the other's.
2. A 1x1 convolution without padding or stride joins the convolution after it: W[o, i, y, x] = sum over m of
   W2[o, m, y, x] W1[m, i]. At the border the second reads zeros where the first would give its bias: so it must not
   pad, or the first must have no bias.
3. The merged one has as many groups as divide those of both.
4. Nothing else may read the first, and the merged one must not multiply more often than the two.

Source: arXiv 2103.13425 (DBB), section 3.2, transforms II and III, and its border of rule 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx

from attendc.compress.graph import call_nodes, replace_node
from attendc.compress.passes.convolutions import Conv, Geometry, conv_of, dense, grouped, insert_conv, positions
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["merge_convs"]

aten = torch.ops.aten


def merge_convs(gm: fx.GraphModule) -> Outcome:
    """Merge the pairs of rules 1 and 2."""
    done = 0
    for node in call_nodes(gm.graph, aten.conv2d.default):  # in order: what is merged may meet the next
        second = conv_of(gm, node)
        first = conv_of(gm, second.x) if second is not None else None
        if first is None or second is None or len(first.node.users) != 1:
            continue
        merged = _merged(first, second)
        if merged is None or not _pays(first, second, merged):
            continue
        replace_node(gm, node, insert_conv(gm, node, node, merged))
        gm.graph.erase_node(first.node)
        done += 1
    return outcome(gm, f"merged {done} pairs of consecutive convolutions" if done else None)


def _merged(first: Conv, second: Conv) -> Conv | None:
    if _is_pointwise(second):
        strides = zip(first.geometry.stride, second.geometry.stride, strict=True)
        rows, columns = (a * b for a, b in strides)
        where = Geometry((rows, columns), first.geometry.padding, first.geometry.dilation)  # 1
    elif _is_pointwise(first) and first.geometry.stride == (1, 1):
        if any(second.geometry.padding) and bool(first.bias.any()):
            return None
        where = second.geometry  # 2
    else:
        return None
    groups = math.gcd(first.groups, second.groups)  # 3
    before, after = dense(first.weight, first.groups), dense(second.weight, second.groups)
    weight = grouped(_product(before, after), groups)
    bias = after.sum((2, 3)) @ first.bias + second.bias
    return Conv(second.node, first.x, weight, bias, groups, where)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return (O, I, kh, kw) of (M, I, kh, kw) and (O, M, 1, 1), or of (M, I, 1, 1) and (O, M, kh, kw)."""
    if second.shape[2:] == (1, 1):
        return torch.einsum("om,mihw->oihw", second[:, :, 0, 0], first)
    return torch.einsum("omhw,mi->oihw", second, first[:, :, 0, 0])


def _is_pointwise(conv: Conv) -> bool:
    return conv.kernel == (1, 1) and not any(conv.geometry.padding)


def _pays(first: Conv, second: Conv, merged: Conv) -> bool:
    here, there = positions(first.node), positions(second.node)
    return merged.weight.numel() * there <= first.weight.numel() * here + second.weight.numel() * there  # 4
