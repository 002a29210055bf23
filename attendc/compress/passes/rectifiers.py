"""Spell out PReLU and ELU before quantization: LiteRT has int8 kernels for both that litert-torch does not reach.

Rules:
1. PReLU with one slope for all channels is leaky ReLU.
2. PReLU with slopes a from -1 to 1 is max(x, a * x). The product has the step of x: no finer one is in the result.
3. PReLU with larger slopes is relu(x) + a * (x - relu(x)).
4. ELU(x) = relu(x) + scale * (exp(x - relu(x)) - 1), CELU and SELU likewise with factors of their own.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_constant, number_like, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_rectifiers"]

aten = torch.ops.aten


def spell_out_rectifiers(gm: fx.GraphModule) -> Outcome:
    """Replace PReLU (1, 2, 3) and ELU (4)."""
    prelus = [n for n in call_nodes(gm.graph, aten.prelu.default, aten._prelu_kernel.default) if is_constant(n.args[1])]
    for node in prelus:
        replace_node(gm, node, _prelu(gm, node))
    elus = call_nodes(gm.graph, aten.elu.default, aten.celu.default, aten.selu.default)
    for node in elus:
        replace_node(gm, node, _elu(gm, node))
    counts = (("PReLU", len(prelus)), ("ELU", len(elus)))
    return outcome(gm, *(f"spelled out {count} {name}" if count else None for name, count in counts))


def _prelu(gm: fx.GraphModule, node: fx.Node) -> fx.Node:
    x, slope_node = node.args
    assert isinstance(x, fx.Node)
    assert isinstance(slope_node, fx.Node)
    slopes = constant(gm, slope_node).detach().flatten()
    if bool((slopes == slopes[0]).all()):
        return insert_call(gm, node, aten.leaky_relu.default, (x, float(slopes[0])), node)
    rank = node.meta["val"].ndim
    factors = add_constant(gm, f"{node.name}_slopes", slopes.reshape(1, -1, *(1,) * (rank - 2)).clone(), node)
    if float(slopes.abs().max()) <= 1:
        product = insert_call(gm, node, aten.mul.Tensor, (x, factors), node)
        return insert_call(gm, node, aten.maximum.default, (x, product), node)
    positive, negative = _halves(gm, node, x)
    product = insert_call(gm, node, aten.mul.Tensor, (negative, factors), node)
    return insert_call(gm, node, aten.add.Tensor, (positive, product), node)


def _elu(gm: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Return scale * relu(x) + scale * alpha * (exp(input_scale * (x - relu(x))) - 1)."""
    x = node.args[0]
    assert isinstance(x, fx.Node)
    alpha, scale, input_scale = _factors(node)
    positive, negative = _halves(gm, node, x)
    power = insert_call(gm, node, aten.exp.default, (_scaled(gm, node, negative, input_scale),), node)
    shift = add_constant(gm, f"{node.name}_shift", number_like(-alpha * scale, node), node)
    bent = insert_call(gm, node, aten.add.Tensor, (_scaled(gm, node, power, alpha * scale), shift), node)
    return insert_call(gm, node, aten.add.Tensor, (_scaled(gm, node, positive, scale), bent), node)


def _factors(node: fx.Node) -> tuple[float, float, float]:
    """Return (alpha, scale, input scale). SELU's are of arXiv 1706.02515, section 2."""
    if node.target is aten.selu.default:
        return 1.6732632423543772, 1.0507009873554805, 1.0
    given = [float(v) for v in node.args[1:]]  # type: ignore[arg-type]
    if node.target is aten.celu.default:
        alpha = (*given, 1.0)[0]
        return alpha, 1.0, 1 / alpha
    alpha, scale, input_scale = (*given, *(1.0, 1.0, 1.0)[len(given) :])
    return alpha, scale, input_scale


def _halves(gm: fx.GraphModule, node: fx.Node, x: fx.Node) -> tuple[fx.Node, fx.Node]:
    """Return (max(x, 0), min(x, 0))."""
    positive = insert_call(gm, node, aten.relu.default, (x,), node)
    return positive, insert_call(gm, node, aten.sub.Tensor, (x, positive), node)


def _scaled(gm: fx.GraphModule, node: fx.Node, x: fx.Node, factor: float) -> fx.Node:
    if factor == 1:
        return x
    number = add_constant(gm, f"{node.name}_factor", number_like(factor, node), node)
    return insert_call(gm, node, aten.mul.Tensor, (x, number), node)
