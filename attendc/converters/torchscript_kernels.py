"""Which of torch's quantized kernels computes an operator of the quantized graph, on quint8 tensors.

A function returns None where torch has no kernel that gives the graph's own result: one that rounds twice, or keeps
another scale. The operator then stays float. Zero points here are quint8's: the graph's plus 128.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from attendc.converters.torchscript_conv import conv2d, linear
from attendc.converters.torchscript_site import Site

__all__ = ["KERNELS"]

aten, quantized = torch.ops.aten, torch.ops.quantized

Kernel = Callable[[Site], fx.Node | None]


def _add(site: Site) -> fx.Node | None:
    kernel = quantized.add_relu.default if site.relu else quantized.add.default
    return _elementwise(site, kernel, site.inputs)


def _sub(site: Site) -> fx.Node | None:
    """Add the negative; the kernel for * -1 only turns the integers of b over, which rounds nothing."""
    if len(site.inputs) != 2:
        return None
    minus = site.call(quantized.mul.Scalar, site.inputs[1], -1.0)
    kernel = quantized.add_relu.default if site.relu else quantized.add.default
    return _elementwise(site, kernel, (site.inputs[0], minus))


def _mul(site: Site) -> fx.Node | None:
    kernel = quantized.mul_relu.default if site.relu else quantized.mul.default
    return _elementwise(site, kernel, site.inputs)


def _elementwise(site: Site, kernel: Any, operands: tuple[fx.Node, ...]) -> fx.Node | None:
    """Put the operand with the shape of the output first: the kernels take the size of their output from it."""
    if len(operands) != 2 or site.arg(2, 1, name="alpha") != 1:
        return None
    first, second = operands
    shape, other = site.shapes
    if shape != site.shape and (other == site.shape or (len(other), other[:1]) == (len(site.shape), site.shape[:1])):
        first, second, shape = second, first, other
    if shape != site.shape:
        first = site.call(aten.expand.default, first, _expansion(shape, site.shape))
    return site.call(kernel, first, second, *site.out)


def _expansion(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[int]:
    """Return what `expand` takes; what stays, as the number of images does, is -1."""
    own = (0,) * (len(wanted) - len(shape)) + shape
    return [-1 if have == due else due for have, due in zip(own, wanted, strict=True)]


def _sigmoid(site: Site) -> fx.Node:
    return site.call(quantized.sigmoid.default, site.inputs[0], *site.out)


def _softmax(site: Site) -> fx.Node:
    """Channels are the last axis in memory, and a kernel that left them first would make all that follows copy."""
    axis = site.arg(1, -1) % len(site.shape)  # QNNPACK counts from the front only
    if axis != 1 or len(site.shape) != 4:
        return site.call(quantized.softmax.default, site.inputs[0], axis, *site.out)
    last = site.call(aten.permute.default, site.inputs[0], [0, 2, 3, 1])
    made = site.call(quantized.softmax.default, last, 3, *site.out)
    return site.call(aten.permute.default, made, [0, 3, 1, 2])


def _tanh(site: Site) -> fx.Node | None:
    """The kernel has a fixed output; so have LiteRT's rules."""
    return site.call(aten.tanh.default, site.inputs[0]) if site.out == (1 / 128, 128) else None


def _hardswish(site: Site) -> fx.Node:
    return site.call(quantized.hardswish.default, site.inputs[0], *site.out)


def _leaky_relu(site: Site) -> fx.Node:
    slope = site.arg(1, 0.01, name="negative_slope")
    return site.call(quantized.leaky_relu.default, site.inputs[0], slope, False, *site.out)


def _relu(site: Site) -> fx.Node:
    """Only a concatenation, here of one tensor, can also give it another scale."""
    if site.given[0] == site.out:
        return site.call(aten.relu.default, site.inputs[0])
    return site.call(quantized.cat_relu.default, [site.inputs[0]], 1, *site.out)


def _clamp(site: Site) -> fx.Node | None:
    """ReLU6 as ReLU; what follows clips at 6."""
    return _relu(site) if site.relu else None


def _matmul(site: Site) -> fx.Node | None:
    same = len(site.inputs) == 2 and site.shapes[0][:-2] == site.shapes[1][:-2]
    return site.call(quantized.matmul.default, *site.inputs, *site.out) if same else None


def _cat(site: Site) -> fx.Node:
    return site.call(quantized.cat.default, list(site.inputs), site.arg(1, 0, name="dim"), *site.out)


def _pool(site: Site) -> fx.Node | None:
    """What rounds in the scale of its input is right where the graph asks for that scale."""
    return _itself(site) if site.given[0] == site.out else None


def _amax(site: Site) -> fx.Node | None:
    """Torch finds the largest along one axis at a time."""
    made, keep = site.inputs[0], site.arg(2, False, name="keepdim")
    axes = sorted((d % len(site.shapes[0]) for d in site.arg(1, ())), reverse=True)
    if site.given[0] != site.out or not axes:
        return None
    for axis in axes:
        made = site.call(operator.getitem, site.call(aten.max.dim, made, axis, keep), 0)
    return made


def _moved(site: Site) -> fx.Node:
    """What only moves numbers is exact in any scale."""
    moved = _itself(site)
    return moved if site.given[0] == site.out else site.call(quantized.cat.default, [moved], 0, *site.out)


def _padded(site: Site) -> fx.Node | None:
    """Quantized tensors can be padded by a number and by reflection."""
    return _moved(site) if site.arg(2, "constant", name="mode") in ("constant", "reflect") else None


def _itself(site: Site) -> fx.Node:
    """The same operator has a kernel for quint8 that keeps scale and zero point."""
    return site.call(site.node.target, site.inputs[0], *site.node.args[1:], **site.node.kwargs)


_MOVERS = (
    *(aten.view.default, aten.reshape.default, aten.flatten.using_ints),
    *(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default),
    *(aten.permute.default, aten.transpose.int, aten.slice.Tensor, aten.expand.default, aten.pixel_shuffle.default),
    *(aten.constant_pad_nd.default, aten.max_pool2d.default, aten.upsample_nearest2d.vec),
)
_POOLS = (aten.avg_pool2d.default, aten.mean.dim, aten.upsample_bilinear2d.vec)

KERNELS: dict[object, Kernel] = {
    aten.conv2d.default: conv2d,
    aten.linear.default: linear,
    aten.add.Tensor: _add,
    aten.sub.Tensor: _sub,
    aten.mul.Tensor: _mul,
    aten.sigmoid.default: _sigmoid,
    aten.softmax.int: _softmax,
    aten._softmax.default: _softmax,
    aten.tanh.default: _tanh,
    aten.hardswish.default: _hardswish,
    aten.leaky_relu.default: _leaky_relu,
    aten.relu.default: _relu,
    aten.hardtanh.default: _clamp,
    aten.clamp.default: _clamp,
    aten.matmul.default: _matmul,
    aten.cat.default: _cat,
    aten.pad.default: _padded,
    aten.amax.default: _amax,
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_MOVERS, _moved),
}
"""Operator -> kernel, the one place to add one. Torch's kernel for GELU keeps the scale of its input, which the
graph does not, and there is none for exp, rsqrt, abs, maximum and pads that repeat the edge."""
