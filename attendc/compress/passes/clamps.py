"""Spell out clamps to other limits than ReLU's, before quantization. LiteRT's int8 kernels clip at 0 and at 6.

Rules:
1. A clamp from a on is relu(x - a) + a; a clamp up to b is b - relu(b - x).
2. A clamp from a to b is relu6((x - a) * k) / k + a with k = 6 / (b - a). What would add 0 or multiply by 1 is left
   out, and the ReLU joins the operator before it.
3. A lower limit at or above the upper one, and limits that are tensors, stay and are refused.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, number_like, replace_node
from attendc.compress.kernel_limits import clips_like_relu
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_clamps"]

aten = torch.ops.aten
_CLAMPS = (aten.clamp.default, aten.hardtanh.default, aten.clamp_min.default, aten.clamp_max.default)


def spell_out_clamps(gm: fx.GraphModule) -> Outcome:
    """Replace clamps with one limit (1) and with two (2)."""
    done = 0
    for node in call_nodes(gm.graph, *_CLAMPS):
        if clips_like_relu(node):
            continue
        low, high = _limits(node)
        x = node.args[0]
        assert isinstance(x, fx.Node)
        if low is not None and high is not None:
            if low >= high:
                continue
            new = _between(gm, node, x, low, high)
        elif low is not None:
            above = insert_call(gm, node, aten.relu.default, (_shifted(gm, node, x, -low),), node)
            new = _shifted(gm, node, above, low)
        elif high is not None:
            below = insert_call(gm, node, aten.relu.default, (_less(gm, node, high, x),), node)
            new = _less(gm, node, high, below)
        else:
            continue
        replace_node(gm, node, new)
        done += 1
    return outcome(gm, f"spelled out {done} clamps" if done else None)


def _limits(node: fx.Node) -> tuple[float | None, float | None]:
    """Return (lower, upper) limit; None for one that is not there or is no number."""
    given = list(node.args[1:])
    if node.target is aten.hardtanh.default:
        given = [*given, *(-1.0, 1.0)[len(given) :]]
    if node.target is aten.clamp_max.default:
        given = [None, *given]
    low, high = (float(v) if isinstance(v, (int, float)) else None for v in (*given, None, None)[:2])
    return low, high


def _between(gm: fx.GraphModule, node: fx.Node, x: fx.Node, low: float, high: float) -> fx.Node:
    """Return x clipped to [low, high], by rule 2."""
    k = 6 / (high - low)
    inner = _shifted(gm, node, _scaled(gm, node, x, k), -low * k)
    clipped = insert_call(gm, node, aten.hardtanh.default, (inner, 0.0, 6.0), node)
    return _shifted(gm, node, _scaled(gm, node, clipped, 1 / k), low)


def _scaled(gm: fx.GraphModule, node: fx.Node, x: fx.Node, factor: float) -> fx.Node:
    if factor == 1:
        return x
    return insert_call(gm, node, aten.mul.Tensor, (x, _constant(gm, node, factor)), node)


def _shifted(gm: fx.GraphModule, node: fx.Node, x: fx.Node, offset: float) -> fx.Node:
    if offset == 0:
        return x
    return insert_call(gm, node, aten.add.Tensor, (x, _constant(gm, node, offset)), node)


def _less(gm: fx.GraphModule, node: fx.Node, start: float, x: fx.Node) -> fx.Node:
    return insert_call(gm, node, aten.sub.Tensor, (_constant(gm, node, start), x), node)


def _constant(gm: fx.GraphModule, node: fx.Node, value: float) -> fx.Node:
    return add_constant(gm, f"{node.name}_number", number_like(value, node), node)
