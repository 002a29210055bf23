"""Turn average pools into depthwise convolutions before quantization. The function stays, the rounding gets a say.

An int8 average pool must keep its input's scale. Then the mean of four integers ends in one half every fourth time, and
each runtime rounds those ties its own way: measured on AttendNeXt, 2 % of the values behind the first pool differed
between two runtimes and nothing before it did. A convolution has an output scale of its own, so there are no ties.
XNNPACK also has no int8 average pool, so each one would break the graph into two partitions.

Rules:
1. avg_pool2d becomes conv2d with one filter of 1/(h*w) per channel, or 1/divisor where it is given one.
2. Where the windows at the border count fewer pixels (padding left out of the mean, or sizes rounded up), the result is
   multiplied by a map of h*w / count, 1 in the inside.
3. Where sizes are rounded up, the last windows hang over: the image is padded first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, insert_pad, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["pools_as_convs"]

aten = torch.ops.aten


def pools_as_convs(gm: fx.GraphModule) -> Outcome:
    """Replace the average pools; their weights are constants that training leaves alone."""
    nodes = call_nodes(gm.graph, aten.avg_pool2d.default)
    for node in nodes:
        replace_node(gm, node, _convolution(gm, node, _arguments(node)))
    return outcome(gm, f"{len(nodes)} average pools became depthwise convolutions" if nodes else None)


@dataclass(frozen=True)
class _Axis:
    """A pool along rows or columns: `size` pixels in, `outputs` out; `counts_padding` where that is divided by too."""

    size: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    counts_padding: bool

    @property
    def overhang(self) -> int:
        """Return how many pixels the last window sees behind the padding."""
        return max(0, (self.outputs - 1) * self.stride + self.kernel - self.size - 2 * self.padding)

    @property
    def counts(self) -> Tensor:
        """Return how many pixels each output is divided by."""
        start = torch.arange(self.outputs) * self.stride - self.padding
        end = start + self.kernel
        low, high = (-self.padding, self.size + self.padding) if self.counts_padding else (0, self.size)
        return end.clamp(max=high) - start.clamp(min=low)


def _arguments(node: fx.Node) -> tuple[_Axis, _Axis, float | None]:
    """Return the pool along rows, along columns, and its divisor; defaults are filled in."""
    given: tuple[Any, ...] = (*node.args, *(None,) * (7 - len(node.args)))
    _, kernel, stride, padding, _, counts_padding, divisor = given
    pairs = [_pair(kernel), _pair(stride or kernel), _pair(padding or 0)]
    sizes = [[int(s) for s in n.meta["val"].shape[2:]] for n in (node.all_input_nodes[0], node)]
    all_counted = counts_padding is not False
    rows, columns = (
        _Axis(size, outputs, k, s, p, all_counted) for size, outputs, k, s, p in zip(*sizes, *pairs, strict=True)
    )
    return rows, columns, divisor


def _convolution(gm: fx.GraphModule, node: fx.Node, pool: tuple[_Axis, _Axis, float | None]) -> fx.Node:
    rows, columns, divisor = pool
    area = rows.kernel * columns.kernel
    x, padding = node.all_input_nodes[0], [rows.padding, columns.padding]
    if rows.overhang or columns.overhang:
        sizes = [side for axis in (columns, rows) for side in (axis.padding, axis.padding + axis.overhang)]
        x, padding = insert_pad(gm, node, x, sizes, node), [0, 0]
    channels = int(x.meta["val"].shape[1])
    filters = torch.full((channels, 1, rows.kernel, columns.kernel), 1.0 / (divisor or area))
    weight = add_constant(gm, f"{node.name}_weight", filters, node)
    bias = add_constant(gm, f"{node.name}_bias", torch.zeros(channels), node)
    args = (x, weight, bias, [rows.stride, columns.stride], padding, [1, 1], channels)
    conv = insert_call(gm, node, aten.conv2d.default, args, node)
    shares = area / torch.outer(rows.counts, columns.counts)
    if divisor is not None or bool((shares == 1).all()):
        return conv
    border = add_constant(gm, f"{node.name}_border", shares[None, None], node)
    return insert_call(gm, node, aten.mul.Tensor, (conv, border), node)


def _pair(value: object) -> list[int]:
    sizes = [value] if isinstance(value, int) else list(value)  # type: ignore[call-overload]
    return [int(s) for s in (sizes * 2 if len(sizes) == 1 else sizes)]
