"""The graphs that dynamic-range and int16 files are compared with, both made from the one quantized graph.

Nothing is calibrated: the integers of the weights and their scales are the quantized graph's own, and the scales of
int16 activations follow from its int8 ones. An operand (a constant that an elementwise operator reads) keeps the
value of its int8 integer in every dtype.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, fx

from attendc.exported import constant
from attendc.qdq import activation_nodes, layer_nodes

__all__ = ["INT16_FIXED", "INT16_MAX", "INT16_MIN", "dynamic_graph", "int16_graph", "int16_scale", "on_grid"]

_Q = torch.ops.quantized_decomposed

INT8_MIN, INT8_MAX = -128, 127
INT16_MIN, INT16_MAX = -32768, 32767
INT16_FIXED = 1 / 32768
"""The scale of an int16 LOGISTIC, SOFTMAX or TANH output; the runtime refuses any other.

Source: LiteRT 8-bit quantization specification and tflite/kernels/activations.cc.
"""
_FIXED_INT8 = ((1 / 256, -128), (1 / 128, 0))
"""What those outputs have in int8 (0..1 and -1..1). Whatever shares it (a pool behind a sigmoid) follows."""


def int16_scale(scale: float, zero_point: int) -> float:
    """Return the int16 scale (a float32 number, zero point 0) of a tensor with these int8 parameters.

    Rules:
        1. max(|low|, |high|) / 32767, where low..high is what the int8 integers -128..127 stand for.
        2. 1/32768 where the int8 parameters are those that the runtime fixes (1/256 with -128, 1/128 with 0).
    """
    if (scale, zero_point) in _FIXED_INT8:
        return INT16_FIXED
    largest = max(abs(INT8_MIN - zero_point), abs(INT8_MAX - zero_point)) * scale
    return float(torch.tensor(largest / INT16_MAX, dtype=torch.float32))


def on_grid(values: Tensor, step: Tensor) -> Tensor:
    """Return float32 `values` rounded to whole multiples of `step` (float64, of a shape that broadcasts)."""
    return (torch.round(values.detach().double() / step) * step).float()


def dynamic_graph(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a copy of a quantized graph with float activations: what a dynamic-range file stands for.

    Rules:
        1. Every quantize and dequantize of an activation is taken out.
        2. An operand becomes the real number of its int8 integer.
        3. Weights keep their quantize and dequantize per channel, biases the values that they have on the int8 grid.
    """
    gm = copy.deepcopy(graph)
    for node in activation_nodes(gm.graph):
        _snap_operand(gm, node)
        for real in list(node.users):
            real.replace_all_uses_with(node.all_input_nodes[0])
            gm.graph.erase_node(real)
        gm.graph.erase_node(node)
    gm.graph.lint()
    gm.recompile()
    return gm


def int16_graph(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a copy of a quantized graph whose activations are int16, symmetric: what a 16x8 file computes.

    Rules:
        1. Every activation has the scale `int16_scale` and the integers -32768..32767.
        2. An operand is first brought to the real number of its int8 integer.
        3. Weights are untouched; biases are rounded to whole steps of input scale x weight scale.
    """
    gm = copy.deepcopy(graph)
    for node in activation_nodes(gm.graph):
        _snap_operand(gm, node)
        scale = int16_scale(float(node.args[1]), int(node.args[2]))  # type: ignore[arg-type]
        for one in (node, *node.users):
            one.args = (one.args[0], scale, 0, INT16_MIN, INT16_MAX, torch.int16)
    for layer in layer_nodes(gm.graph):
        _round_bias(gm, layer)
    gm.graph.lint()
    gm.recompile()
    return gm


def _snap_operand(gm: fx.GraphModule, node: fx.Node) -> None:
    """Where a quantize node reads a constant, let it read the real numbers of the constant's int8 integers."""
    source = node.all_input_nodes[0]
    if source.op != "get_attr":
        return
    integers = _Q.quantize_per_tensor.default(constant(gm, source).detach(), *node.args[1:])
    _read_another(gm, node, 0, _Q.dequantize_per_tensor.default(integers, *node.args[1:]))


def _round_bias(gm: fx.GraphModule, layer: fx.Node) -> None:
    source, weight, bias = cast("tuple[fx.Node, fx.Node, fx.Node]", layer.args[:3])
    scale = constant(gm, cast("fx.Node", weight.args[1])).double()
    step = scale * float(source.args[1])  # type: ignore[arg-type]
    _read_another(gm, layer, 2, on_grid(constant(gm, bias), step))


def _read_another(gm: fx.GraphModule, node: fx.Node, position: int, value: Tensor) -> None:
    """Let one argument of a node be a constant of its own; others may read the old one."""
    name = f"{node.name}_{position}"
    gm.register_buffer(name, value)
    with gm.graph.inserting_before(node):
        read = gm.graph.get_attr(name)
    old = cast("fx.Node", node.args[position])
    read.meta.update(old.meta)
    node.update_arg(position, read)
    if not old.users:
        gm.graph.erase_node(old)
