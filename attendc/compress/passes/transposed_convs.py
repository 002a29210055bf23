"""Turn a transposed convolution into a convolution and a pixel shuffle, which compute the same sums.

Pixel s * q + r of the output of a transposed convolution with stride s sums over x[q - m] * w[s * m + r]. So the pixels
of each remainder r are a convolution of their own, with every s-th tap of the kernel in reverse; a pixel shuffle puts
the s x s kinds of pixels beside each other, and a slice leaves what padding and output padding ask for.

Rules:
1. The kernel is filled up with zeros, between its taps for a dilation and at its end to a multiple of the stride.
2. With stride 1 there is one kind of pixel, and with a kernel as large as the stride nothing is left to slice.
3. A batch norm that alone reads the output is folded in first.

Source: arXiv 1609.07009, section 3.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_constant, replace_node
from attendc.compress.passes.fold_bn import factor_and_offset
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["transposed_convs"]

aten = torch.ops.aten
_BN = aten._native_batch_norm_legit_no_training.default


@dataclass(frozen=True)
class _Axis:
    """Rows or columns: of the output, `size` pixels from `start` on are kept of the shuffled ones.

    Attributes:
        stride: how many kinds of pixels there are.
        taps: of the convolution that makes each kind.
        padding: of that convolution, on both sides.
        start: the first of the shuffled pixels that is kept.
        size: of the output.
    """

    stride: int
    taps: int
    padding: int
    start: int
    size: int


def transposed_convs(gm: fx.GraphModule) -> Outcome:
    """Replace the transposed convolutions whose weights are constants."""
    nodes = [n for n in call_nodes(gm.graph, aten.conv_transpose2d.input) if is_constant(n.args[1])]
    for node in nodes:
        _replace(gm, node)
    return outcome(gm, f"{len(nodes)} transposed convolutions became convolutions and shuffles" if nodes else None)


def _replace(gm: fx.GraphModule, node: fx.Node) -> None:
    given: list[Any] = [*node.args, *[None, 1, 0, 0, 1, 1][len(node.args) - 2 :]]
    x, weight_node, bias_node, stride, padding, _, groups, dilation = given
    weight = constant(gm, weight_node).detach()
    bias = torch.zeros(weight.shape[1] * groups) if bias_node is None else constant(gm, bias_node).detach()
    last = node
    if _is_read_by_bn(node):  # 3
        (last,) = node.users
        weight, bias = _with_bn(gm, last, weight, bias, groups)
    weight = _dilated(weight, _pair(dilation))
    rows, columns = (
        _axis(int(x.meta["val"].shape[2 + i]), int(node.meta["val"].shape[2 + i]), weight.shape[2 + i], s, p)
        for i, (s, p) in enumerate(zip(_pair(stride), _pair(padding), strict=True))
    )
    kinds = rows.stride * columns.stride
    kernel = add_constant(gm, f"{node.name}_weight", _kernel(weight, rows, columns, groups), last, trained=True)
    offset = add_constant(gm, f"{node.name}_bias", bias.repeat_interleave(kinds), last, trained=True)
    args = (x, kernel, offset, [1, 1], [rows.padding, columns.padding], [1, 1], groups)
    y = _shuffled(gm, insert_call(gm, last, aten.conv2d.default, args, node), rows.stride, columns.stride)
    for dim, axis in ((2, rows), (3, columns)):
        if (axis.start, axis.size) != (0, y.meta["val"].shape[dim]):
            y = insert_call(gm, last, aten.slice.Tensor, (y, dim, axis.start, axis.start + axis.size), node)
    for reader in [node] if last is node else list(last.users):
        replace_node(gm, reader, y)
    if last is not node:
        gm.graph.erase_node(last)
        gm.graph.erase_node(node)


def _axis(size: int, out: int, kernel: int, stride: int, padding: int) -> _Axis:
    """Return how `out` pixels are made of `size`; the kernel is dilated already."""
    taps = -(-max(kernel, padding + out - stride * (size - 1)) // stride)  # 1; those after the kernel read zeros
    left, right = taps - 1 - padding // stride, -(-(padding + out) // stride) - size
    around = max(left, right, 0)
    return _Axis(stride, taps, around, padding - stride * (taps - 1 - around), out)


def _dilated(weight: Tensor, dilation: list[int]) -> Tensor:
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    dilated = torch.zeros(*weight.shape[:2], *sizes)
    dilated[:, :, :: dilation[0], :: dilation[1]] = weight
    return dilated


def _kernel(weight: Tensor, rows: _Axis, columns: _Axis, groups: int) -> Tensor:
    """Return (in, out / groups, h, w) of a transposed convolution as (out * kinds, in / groups, taps, taps)."""
    full = torch.zeros(*weight.shape[:2], rows.taps * rows.stride, columns.taps * columns.stride)
    full[:, :, : weight.shape[2], : weight.shape[3]] = weight
    parts = full.reshape(groups, -1, weight.shape[1], rows.taps, rows.stride, columns.taps, columns.stride)
    parts = parts.flip(3, 5).permute(0, 2, 4, 6, 1, 3, 5)
    return parts.reshape(-1, len(weight) // groups, rows.taps, columns.taps).contiguous()


def _shuffled(gm: fx.GraphModule, y: fx.Node, rows: int, columns: int) -> fx.Node:
    """Put the rows x columns kinds of pixels, which lie in the channels, beside each other (2)."""
    if rows == columns:
        return y if rows == 1 else insert_call(gm, y.next, aten.pixel_shuffle.default, (y, rows), y)
    channels, height, width = (int(size) for size in y.meta["val"].shape[1:])
    out, after = channels // (rows * columns), y.next
    y = insert_call(gm, after, aten.reshape.default, (y, [-1, out, rows, columns, height, width]), y)
    y = insert_call(gm, after, aten.permute.default, (y, [0, 1, 4, 2, 5, 3]), y)
    return insert_call(gm, after, aten.reshape.default, (y, [-1, out, height * rows, width * columns]), y)


def _is_read_by_bn(node: fx.Node) -> bool:
    users = list(node.users)
    return len(users) == 1 and users[0].target is _BN and all(u.target is operator.getitem for u in users[0].users)


def _with_bn(gm: fx.GraphModule, norm: fx.Node, weight: Tensor, bias: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    factor, offset = factor_and_offset(gm, norm)
    by_group = factor.view(groups, 1, -1, 1, 1).expand(-1, len(weight) // groups, -1, -1, -1)
    scaled = weight.double() * by_group.reshape(len(weight), -1, 1, 1)
    return scaled.float(), (bias.double() * factor + offset).float()


def _pair(value: Any) -> list[int]:
    sizes = [value] if isinstance(value, int) else list(value)
    return [int(s) for s in (sizes * 2 if len(sizes) == 1 else sizes)]
