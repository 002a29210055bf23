"""Reading a convolution out of a graph as numbers, and writing one: what every pass that merges convolutions needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from attendc.compress.graph import add_constant, insert_call, is_constant
from attendc.exported import constant

__all__ = ["Conv", "Geometry", "conv_of", "dense", "grouped", "insert_conv", "positions"]

aten = torch.ops.aten
_DEFAULTS: tuple[Any, ...] = (None, [1, 1], [0, 0], [1, 1], 1)


@dataclass(frozen=True)
class Geometry:
    """Where a convolution reads, (rows, columns) each."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Conv:
    """A convolution whose weights are its own.

    Attributes:
        node: the call.
        x: what it reads, (N, I, H, W).
        weight: (O, I / groups, kh, kw), float64.
        bias: (O,), float64; zeros where it has none.
        groups: of channels.
        geometry: stride, padding and dilation.
    """

    node: fx.Node
    x: fx.Node
    weight: Tensor
    bias: Tensor
    groups: int
    geometry: Geometry = field(default_factory=Geometry)

    @property
    def kernel(self) -> tuple[int, int]:
        """Return (kh, kw)."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])


def conv_of(gm: fx.GraphModule, node: object) -> Conv | None:
    """Return the convolution that a node is; None of anything else, and where weights are no constants of its own."""
    if not isinstance(node, fx.Node) or node.target is not aten.conv2d.default or node.kwargs:
        return None
    args: tuple[Any, ...] = tuple(node.args)
    x, weight, bias, stride, padding, dilation, groups = (*args, *_DEFAULTS[len(args) - 2 :])
    own = [n for n in (weight, bias) if n is not None]
    if not isinstance(x, fx.Node) or not all(is_constant(n) and len(n.users) == 1 for n in own):
        return None
    value = constant(gm, weight).detach().double()
    zeros = torch.zeros(len(value), dtype=torch.float64)
    offset = zeros if bias is None else constant(gm, bias).detach().double()
    return Conv(node, x, value, offset, int(groups), Geometry(_pair(stride), _pair(padding), _pair(dilation)))


def insert_conv(gm: fx.GraphModule, before: fx.Node, like: fx.Node, conv: Conv) -> fx.Node:
    """Insert a convolution with the numbers of `conv`, in float32, as a layer that can be trained; return the call."""
    weight = add_constant(gm, f"{like.name}_weight", conv.weight.float().contiguous(), before, trained=True)
    bias = add_constant(gm, f"{like.name}_bias", conv.bias.float(), before, trained=True)
    where = conv.geometry
    args = (conv.x, weight, bias, list(where.stride), list(where.padding), list(where.dilation), conv.groups)
    return insert_call(gm, before, aten.conv2d.default, args, like)


def dense(weight: Tensor, groups: int) -> Tensor:
    """Return the weight (O, I, kh, kw) of the same convolution in one group, with zeros between the groups."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    whole = weight.new_zeros(weight.shape[0], inputs * groups, *weight.shape[2:])
    for g in range(groups):
        rows = slice(g * outputs, (g + 1) * outputs)
        whole[rows, g * inputs : (g + 1) * inputs] = weight[rows]
    return whole


def grouped(weight: Tensor, groups: int) -> Tensor:
    """Return the weight (O, I / groups, kh, kw) of a dense one that is zero between the groups."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1] // groups
    parts = [weight[g * outputs : (g + 1) * outputs, g * inputs : (g + 1) * inputs] for g in range(groups)]
    return torch.cat(parts)


def positions(node: fx.Node) -> int:
    """Return how many pixels a node (N, C, H, W) makes of one image."""
    return int(node.meta["val"].shape[2]) * int(node.meta["val"].shape[3])


def _pair(value: Any) -> tuple[int, int]:
    sizes = [int(value)] if isinstance(value, int) else [int(v) for v in value]
    return (sizes[0], sizes[-1])
