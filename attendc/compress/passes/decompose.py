"""Spell out what LiteRT does not have as one operation, and give one spelling to what torch has several for.

Rules:
1. SiLU(x) = x * sigmoid(x): without it, the inside of SiLU would stay float. XNNPACK joins the two again into one
   table look-up.
2. Hardsigmoid(x) = relu6(x + 3) * (1/6).
3. ReLU6 and a clamp to [0, 6] are one hardtanh, a clamp from 0 on is a ReLU.
4. A number that is added, subtracted or multiplied becomes a constant tensor, which has a scale of its own.

Constants have as many dimensions as what they meet: litert-torch puts TRANSPOSE around operators that broadcast.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_float, number_like, replace_node
from attendc.compress.kernel_limits import clips_like_relu
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["decompose_activations"]

aten = torch.ops.aten


def decompose_activations(gm: fx.GraphModule) -> Outcome:
    """Replace SiLU (1), hardsigmoid (2), clamps (3) and numbers (4)."""
    silus = call_nodes(gm.graph, aten.silu.default)
    for node in silus:
        x = node.args[0]
        gate = insert_call(gm, node, aten.sigmoid.default, (x,), node)
        replace_node(gm, node, insert_call(gm, node, aten.mul.Tensor, (x, gate), node))
    hard = call_nodes(gm.graph, aten.hardsigmoid.default)
    for node in hard:
        x = node.all_input_nodes[0]
        three = add_constant(gm, "hardsigmoid_shift", number_like(3.0, x), node)
        sixth = add_constant(gm, "hardsigmoid_factor", number_like(1 / 6, x), node)
        shifted = insert_call(gm, node, aten.add.Tensor, (x, three), node)
        clipped = insert_call(gm, node, aten.hardtanh.default, (shifted, 0.0, 6.0), node)
        replace_node(gm, node, insert_call(gm, node, aten.mul.Tensor, (clipped, sixth), node))
    counts = (("SiLU", len(silus)), ("hardsigmoid", len(hard)), ("clamps", _clamps(gm)), ("numbers", _numbers(gm)))
    return outcome(gm, *(f"spelled out {count} {name}" if count else None for name, count in counts))


def _clamps(gm: fx.GraphModule) -> int:
    nodes = call_nodes(gm.graph, aten.relu6.default)
    nodes += [n for n in call_nodes(gm.graph, aten.clamp.default) if clips_like_relu(n)]
    for node in nodes:
        x = node.args[0]
        from_zero_on = node.target is aten.clamp.default and (*node.args, None)[2] is None
        target, args = (aten.relu.default, (x,)) if from_zero_on else (aten.hardtanh.default, (x, 0.0, 6.0))
        replace_node(gm, node, insert_call(gm, node, target, args, node))
    return len(nodes)


def _numbers(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor):
        x, number = node.args[:2]
        if not isinstance(x, fx.Node) or not isinstance(number, (int, float)) or not is_float(x):
            continue
        node.args = (x, add_constant(gm, f"{node.name}_number", number_like(float(number), x), node), *node.args[2:])
        done += 1
    return done
