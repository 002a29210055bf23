"""The quantization plan, and how it is applied: plain data first, then one function that writes the quantized graph.

The quantized graph is the one source of every int8 artefact. Its weights are rounded to int8 here, once: what stands
in the graph is integer x scale, which every exporter's own rounding brings back to that same integer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from attendc.compress.graph import add_constant, set_constant, tidy
from attendc.compress.rules import ACT_QMAX, ACT_QMIN, WEIGHT_QMAX
from attendc.compress.tensors import quantized_nodes, sharing_groups, weighted_layers
from attendc.errors import InternalError
from attendc.exported import constant
from attendc.types import QuantParams

__all__ = ["QuantPlan", "apply_plan", "plan_from_ranges", "weight_params"]

_Q = torch.ops.quantized_decomposed

MOST_BIAS_STEPS = 2**22
"""A bias of more steps than this does not survive a round trip through float32 (24 bits of mantissa)."""
SMALLEST_SCALE = 2.0**-40
SMALLEST_ACTIVATION_SCALE = 2.0**-26
"""A tensor whose values are all below 2e-6 is dead. Scaled up, it would need multipliers that make TFLite's reference
kernels abort the whole process."""


@dataclass(frozen=True)
class QuantPlan:
    """Attributes:
    activations: name of the node that makes a tensor -> its parameters, one scale each.
    weights: name of the layer -> the parameters of its weight, one scale per output channel.
    """

    activations: dict[str, QuantParams]
    weights: dict[str, QuantParams]


def plan_from_ranges(
    graph: fx.GraphModule,
    activations: Mapping[str, QuantParams],
    weights: Mapping[str, QuantParams] | None = None,
) -> QuantPlan:
    """Make the ranges obey the rules: groups share, fixed outputs are fixed, scales are float32 numbers.

    Weights without given parameters get max|w| / 127 per output channel.

    Raises:
        InternalError: if a tensor of the graph has no range.
    """
    groups = sharing_groups(graph.graph)
    complete: dict[str, QuantParams] = {}
    for name, leader in groups.leader.items():
        members = [m for m, one in groups.leader.items() if one == leader and m in activations]
        if leader in groups.fixed:
            complete[name] = groups.fixed[leader]
        elif members:
            complete[name] = _as_float32(_widest([activations[m] for m in members]))
        else:
            raise InternalError(f"no range was found for {name}")
    given = weights or {}
    return QuantPlan(
        complete,
        {
            node.name: given.get(node.name) or weight_params(*_layer(graph, node, complete))
            for node in weighted_layers(graph.graph)
        },
    )


def weight_params(weight: Tensor, bias: Tensor, input_scale: float) -> QuantParams:
    """Return symmetric parameters per output channel (axis 0).

    The scale is max|w| / 127, but never so small that the bias would need more than `MOST_BIAS_STEPS` steps.
    """
    largest = weight.detach().flatten(1).abs().amax(1).double() / WEIGHT_QMAX
    for_bias = bias.detach().double().abs() / (input_scale * MOST_BIAS_STEPS)
    scale = torch.maximum(largest, for_bias).clamp(min=SMALLEST_SCALE).float()
    zeros = (0,) * len(scale)
    return QuantParams(tuple(scale.tolist()), zeros, -WEIGHT_QMAX, WEIGHT_QMAX, 0)


def apply_plan(graph: fx.GraphModule, plan: QuantPlan, *, partial: bool = False) -> fx.GraphModule:
    """Return the quantized graph: a copy with one quantize and dequantize behind every tensor and every weight.

    With `partial`, what the plan does not name stays float; of a layer that it names it must name the input too.
    """
    gm = copy.deepcopy(graph)
    tensors, layers = quantized_nodes(gm.graph), weighted_layers(gm.graph)
    for node in layers:
        if not partial or node.name in plan.weights:
            _quantize_layer(gm, node, plan)
    for node in tensors:
        if not partial or node.name in plan.activations:
            _quantize_tensor(gm, node, plan.activations[node.name])
    for parameter in gm.parameters():
        parameter.requires_grad_(False)
    return tidy(gm)


def _quantize_tensor(gm: fx.GraphModule, node: fx.Node, params: QuantParams) -> None:
    users = list(node.users)
    arguments = (params.scale[0], params.zero_point[0], ACT_QMIN, ACT_QMAX, torch.int8)
    with gm.graph.inserting_after(node):
        quantized = gm.graph.call_function(_Q.quantize_per_tensor.default, (node, *arguments))
    with gm.graph.inserting_after(quantized):
        real = gm.graph.call_function(_Q.dequantize_per_tensor.default, (quantized, *arguments))
    _copy_meta(node, quantized, real)
    for user in users:
        user.replace_input_with(node, real)


def _quantize_layer(gm: fx.GraphModule, node: fx.Node, plan: QuantPlan) -> None:
    """Round weight and bias of one layer onto their grids, and put quantize and dequantize behind the weight."""
    params = plan.weights[node.name]
    weight, bias = node.args[1], node.args[2]
    assert isinstance(weight, fx.Node)
    assert isinstance(bias, fx.Node)
    scale = torch.tensor(params.scale)
    integers = _rounded(constant(gm, weight).detach(), scale, params.qmax)
    shape = (-1,) + (1,) * (integers.ndim - 1)
    set_constant(gm, weight, integers.float() * scale.view(shape))
    _round_bias(gm, node, bias, scale, plan)
    arguments = (
        add_constant(gm, f"{node.name}_weight_scale", scale, node),
        add_constant(gm, f"{node.name}_weight_zero_point", torch.zeros(len(scale), dtype=torch.int64), node),
        0,
        params.qmin,
        params.qmax,
        torch.int8,
    )
    with gm.graph.inserting_before(node):
        quantized = gm.graph.call_function(_Q.quantize_per_channel.default, (weight, *arguments))
        real = gm.graph.call_function(_Q.dequantize_per_channel.default, (quantized, *arguments))
    _copy_meta(weight, quantized, real)
    node.args = (node.args[0], real, *node.args[2:])


def _rounded(weight: Tensor, scale: Tensor, qmax: int) -> Tensor:
    """Return the integers, rounded half to even in float64, where w / s of float32 numbers has no accidental ties."""
    shape = (-1,) + (1,) * (weight.ndim - 1)
    return torch.round(weight.double() / scale.double().view(shape)).clamp(-qmax, qmax)


def _round_bias(gm: fx.GraphModule, node: fx.Node, bias: fx.Node, scale: Tensor, plan: QuantPlan) -> None:
    step = scale.double() * plan.activations[_input_name(node)].scale[0]
    integers = torch.round(constant(gm, bias).detach().double() / step)
    set_constant(gm, bias, (integers * step).float())


def _layer(gm: fx.GraphModule, node: fx.Node, activations: Mapping[str, QuantParams]) -> tuple[Tensor, Tensor, float]:
    """Return (weight, bias, scale of the input) of a layer."""
    weight, bias = node.args[1], node.args[2]
    assert isinstance(weight, fx.Node)
    assert isinstance(bias, fx.Node)
    return constant(gm, weight), constant(gm, bias), activations[_input_name(node)].scale[0]


def _input_name(node: fx.Node) -> str:
    """Return the name of the tensor that a layer reads, also when its quantizer stands already."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    while source.target in (_Q.dequantize_per_tensor.default, _Q.quantize_per_tensor.default):
        source = source.all_input_nodes[0]
    return source.name


def _widest(found: list[QuantParams]) -> QuantParams:
    """Return parameters whose range holds the ranges of all; usually they are equal already."""
    if all(p == found[0] for p in found):
        return found[0]
    low = min(p.scale[0] * (ACT_QMIN - p.zero_point[0]) for p in found)
    high = max(p.scale[0] * (ACT_QMAX - p.zero_point[0]) for p in found)
    scale = (high - low) / (ACT_QMAX - ACT_QMIN)
    return QuantParams((scale,), (round(ACT_QMIN - low / scale),))


def _as_float32(params: QuantParams) -> QuantParams:
    """Return parameters with a scale that a float32 can hold and that is not zero."""
    scale = float(np.float32(max(params.scale[0], SMALLEST_ACTIVATION_SCALE)))
    zero_point = min(max(params.zero_point[0], ACT_QMIN), ACT_QMAX)
    return QuantParams((scale,), (zero_point,))


def _copy_meta(source: fx.Node, *nodes: fx.Node) -> None:
    for node in nodes:
        node.meta.update({k: v for k, v in source.meta.items() if k in ("nn_module_stack", "stack_trace")})
        value = source.meta.get("val")
        node.meta["val"] = value
