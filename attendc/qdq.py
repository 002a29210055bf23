"""Reading a quantized graph: its quantize nodes, their parameters, and the integers of its layers.

The operators are torch's `quantized_decomposed.*`; importing this module makes torch know them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torchao.quantization.pt2e  # noqa: F401 - registers quantized_decomposed
from torch import Tensor, fx

from attendc.exported import constant
from attendc.types import Layer, QuantTable

__all__ = ["activation_nodes", "input_params", "layer_nodes", "output_params", "quant_table"]

_Q = torch.ops.quantized_decomposed
_DEQUANTIZE = _Q.dequantize_per_tensor.default
_LAYERS = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)


def activation_nodes(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes that quantize an activation, in order."""
    return [n for n in graph.nodes if n.target is _Q.quantize_per_tensor.default]


def layer_nodes(graph: fx.Graph) -> list[fx.Node]:
    """Return the convolutions and linear layers whose weights are quantized, in order."""
    return [n for n in graph.nodes if n.target in _LAYERS and n.args[1].target is _Q.dequantize_per_channel.default]


def input_params(graph: fx.Graph) -> tuple[float, int]:
    """Return (scale, zero point) of the graph's input."""
    return _params(activation_nodes(graph)[0])


def output_params(graph: fx.Graph) -> tuple[float, int]:
    """Return (scale, zero point) of the graph's output."""
    return _params(activation_nodes(graph)[-1])


def quant_table(gm: fx.GraphModule) -> QuantTable:
    """Return every scale, zero point and integer of the graph.

    A layer whose input is float (see `derived.dynamic_graph`) has its bias in real numbers.
    """
    activations = {n.all_input_nodes[0].name: _params(n) for n in activation_nodes(gm.graph)}
    return QuantTable(activations, {n.name: _layer(gm, n) for n in layer_nodes(gm.graph)})


def _params(node: fx.Node) -> tuple[float, int]:
    return float(node.args[1]), int(node.args[2])  # type: ignore[arg-type]


def _layer(gm: fx.GraphModule, node: fx.Node) -> Layer:
    source, weight, bias = cast("tuple[fx.Node, fx.Node, fx.Node]", node.args[:3])
    quantize = cast("fx.Node", weight.args[0])
    values: list[Any] = [constant(gm, a).detach() if isinstance(a, fx.Node) else a for a in quantize.args]
    integers: Tensor = _Q.quantize_per_channel.default(*values)
    real = constant(gm, bias).detach()
    return Layer(
        integers.contiguous().numpy().tobytes(),
        tuple(integers.shape),
        tuple(values[1].tolist()),
        _steps(real, values[1], source) if source.target is _DEQUANTIZE else tuple(real.tolist()),
    )


def _steps(bias: Tensor, scale: Tensor, source: fx.Node) -> tuple[int, ...]:
    """Return a bias in whole steps of the input's scale x the weight's."""
    step = scale.double() * float(source.args[1])  # type: ignore[arg-type]
    return tuple(int(v) for v in torch.round(bias.double() / step).tolist())
