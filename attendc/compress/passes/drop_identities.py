"""Drop operators that give back what they were given.

Rules:
1. x + 0, x - 0, x * 1 and x / 1, with a number or a constant that is the same everywhere.
2. A permute that keeps the order, a slice of the whole, an expand or repeat to the same shape, a concatenation of one.
3. A pad by nothing, a pool of one pixel, a resize to the same size.
4. A ReLU of what is never negative: ReLU, ReLU6, sigmoid, softmax. A ReLU6 of a ReLU6, a sigmoid or a softmax.
In rules 1 and 2 the shape stays as it is too: 0 may stretch what it is added to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, is_constant, replace_node
from attendc.compress.kernel_limits import clips_like_relu
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["drop_identities"]

aten = torch.ops.aten

_NEUTRAL = {aten.add.Tensor: 0.0, aten.sub.Tensor: 0.0, aten.mul.Tensor: 1.0, aten.div.Tensor: 1.0}
_COMMUTE = (aten.add.Tensor, aten.mul.Tensor)
_STRETCH = (aten.slice.Tensor, aten.expand.default, aten.repeat.default)
_RESIZES = (aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec, aten.upsample_bicubic2d.vec)
_UP_TO_ONE = (aten.sigmoid.default, aten.softmax.int, aten._softmax.default)


def drop_identities(gm: fx.GraphModule) -> Outcome:
    """Let the users of what rules 1 to 4 name read its input."""
    found: tuple[Callable[[fx.GraphModule, fx.Node], fx.Node | None], ...] = (_neutral, _kept, _of_one_pixel, _clipped)
    dropped = 0
    for node in call_nodes(gm.graph):
        source = next((s for find in found if (s := find(gm, node)) is not None), None)
        if source is not None:
            replace_node(gm, node, source)
            dropped += 1
    return outcome(gm, f"dropped {dropped} operators that give back their input" if dropped else None)


def _neutral(gm: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # 1
    if node.target not in _NEUTRAL or node.kwargs:
        return None
    first, second = node.args[:2]
    if node.target in _COMMUTE and not isinstance(second, fx.Node | int | float):
        return None
    if node.target in _COMMUTE and (is_constant(first) or not isinstance(first, fx.Node)):
        first, second = second, first
    value = _value(gm, second)
    if not isinstance(first, fx.Node) or value != _NEUTRAL[cast("torch._ops.OpOverload", node.target)]:
        return None
    return first if _alike(first, node) else None


def _value(gm: fx.GraphModule, argument: object) -> float | None:
    """Return the number that an argument is everywhere."""
    if isinstance(argument, (int, float)):
        return float(argument)
    if not is_constant(argument):
        return None
    tensor = constant(gm, cast("fx.Node", argument)).detach()
    first = tensor.flatten()[:1]
    return float(first) if tensor.numel() and bool((tensor == first).all()) else None


def _kept(_: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # 2
    if node.target is aten.permute.default:
        order = [d % len(cast("list[int]", node.args[1])) for d in cast("list[int]", node.args[1])]
        return cast("fx.Node", node.args[0]) if order == sorted(order) else None
    if node.target is aten.cat.default:
        parts = cast("list[fx.Node]", node.args[0])
        return parts[0] if len(parts) == 1 else None
    if node.target not in _STRETCH:
        return None
    source = cast("fx.Node", node.args[0])
    backwards = node.target is aten.slice.Tensor and len(node.args) > 4 and node.args[4] != 1
    return source if _alike(source, node) and not backwards else None


def _of_one_pixel(_: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # 3
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    if node.target in (aten.constant_pad_nd.default, aten.pad.default):
        return source if not any(cast("list[int]", node.args[1])) else None
    if node.target in (aten.avg_pool2d.default, aten.max_pool2d.default):
        return source if _ones(node.args[1]) and _alike(source, node) and _divides_by_pixels(node) else None
    return source if node.target in _RESIZES and _alike(source, node) else None


def _divides_by_pixels(node: fx.Node) -> bool:
    return node.target is aten.max_pool2d.default or len(node.args) < 7 or node.args[6] is None


def _ones(sizes: object) -> bool:
    return all(s == 1 for s in sizes) if isinstance(sizes, Sequence) else sizes == 1


def _clipped(_: fx.GraphModule, node: fx.Node) -> fx.Node | None:  # 4
    if not clips_like_relu(node):
        return None
    source = cast("fx.Node", node.args[0])
    up_to_six = node.target is not aten.relu.default and (*node.args, None, None)[2] is not None
    if source.target in _UP_TO_ONE:
        return source
    if not clips_like_relu(source):
        return None
    limited = source.target is not aten.relu.default and (*source.args, None, None)[2] is not None
    return source if limited or not up_to_six else None


def _alike(source: fx.Node, node: fx.Node) -> bool:
    before, after = source.meta["val"], node.meta["val"]
    return before.dtype == after.dtype and str(before.shape) == str(after.shape)
