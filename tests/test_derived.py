"""The graphs behind dynamic-range and int16 files: what they keep of the quantized graph, and what they change."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from nets import Built
from torch import Tensor, fx

from attendc.compress.graph import set_constant
from attendc.compress.plan import apply_plan
from attendc.compress.tensors import weighted_layers
from attendc.derived import dynamic_graph, int16_graph, int16_scale, on_grid
from attendc.exported import constant
from attendc.qdq import activation_nodes, layer_nodes, output_params, quant_table

DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


@pytest.mark.parametrize(
    ("int8", "largest"),
    [
        ((0.5, -128), 127.5),  # 0 .. 255 * 0.5: behind a ReLU
        ((0.5, 0), 64.0),  # -128 * 0.5 .. 127 * 0.5
        ((2.0, -28), 310.0),  # -100 * 2 .. 155 * 2
        ((1 / 256, -128), 32767 / 32768),  # a sigmoid: fixed
        ((1 / 128, 0), 32767 / 32768),  # a tanh: fixed
    ],
)
def test_int16_reaches_as_far_as_int8(int8: tuple[float, int], largest: float) -> None:
    assert int16_scale(*int8) * 32767 == pytest.approx(largest, rel=1e-7)


def test_an_int16_scale_is_a_float32() -> None:
    assert float(np.float32(int16_scale(0.3, 5))) == int16_scale(0.3, 5)


def test_a_float_on_the_grid_is_the_nearest_multiple() -> None:
    values = on_grid(torch.tensor([0.9, 2.0, -1.6]), torch.tensor([0.5, 0.75, 0.5]).double())
    assert values.tolist() == [1.0, 2.25, -1.5]


@pytest.mark.parametrize("derive", [dynamic_graph, int16_graph])
def test_weights_and_their_scales_are_the_quantized_graphs(built: Built, derive: object) -> None:
    ours, theirs = (quant_table(g).layers for g in (built.quantized, derive(built.quantized)))  # type: ignore[operator]
    assert list(ours) == list(theirs)
    assert [(v.weight, v.shape, v.scale) for v in ours.values()] == [
        (v.weight, v.shape, v.scale) for v in theirs.values()
    ]


@pytest.mark.parametrize("derive", [dynamic_graph, int16_graph])
def test_the_quantized_graph_stays_as_it_is(built: Built, seen: Tensor, derive: object) -> None:
    table, outputs = quant_table(built.quantized), built.quantized(seen)
    derive(built.quantized)  # type: ignore[operator]
    assert quant_table(built.quantized) == table
    assert torch.equal(built.quantized(seen), outputs)


def test_a_dynamic_graph_rounds_no_activation(built: Built) -> None:
    assert activation_nodes(dynamic_graph(built.quantized).graph) == []


def test_a_dynamic_bias_is_the_int8_bias_in_real_numbers(built: Built) -> None:
    graph = built.quantized
    real = {name: layer.bias for name, layer in quant_table(dynamic_graph(graph)).layers.items()}
    for node in layer_nodes(graph.graph):
        layer, step = quant_table(graph).layers[node.name], node.args[0].args[1]  # type: ignore[union-attr]
        expected = [b * s * step for b, s in zip(layer.bias, layer.scale, strict=True)]
        assert real[node.name] == pytest.approx(expected, rel=1e-6)


def test_a_dynamic_graph_is_the_float_graph_with_integers_times_scales(built: Built, seen: Tensor) -> None:
    graph = dynamic_graph(apply_plan(built.corrected, built.plan))
    expected, table = copy.deepcopy(built.corrected), quant_table(graph).layers
    for node in weighted_layers(expected.graph):
        layer = table[node.name]
        integers = torch.from_numpy(np.frombuffer(layer.weight, np.int8).reshape(layer.shape).copy())
        scale = torch.tensor(layer.scale).view(-1, *[1] * (len(layer.shape) - 1))
        set_constant(expected, node.args[1], integers * scale)  # type: ignore[arg-type]
        set_constant(expected, node.args[2], torch.tensor(layer.bias))  # type: ignore[arg-type]
    assert torch.allclose(graph(seen), expected(seen), atol=1e-4)


def test_every_int16_tensor_has_the_scale_of_its_int8_one(built: Built) -> None:
    int8, int16 = (quant_table(g).activations for g in (built.quantized, int16_graph(built.quantized)))
    assert int16 == {name: (int16_scale(*params), 0) for name, params in int8.items()}
    assert int16["sigmoid"] == (1 / 32768, 0)
    nodes = [n for n in int16_graph(built.quantized).graph.nodes if n.target is DEQUANTIZE]
    assert {n.args[3:] for n in nodes} == {(-32768, 32767, torch.int16)}


def test_an_int16_bias_is_the_nearest_whole_step(built: Built) -> None:
    graph = int16_graph(built.quantized)
    for node in layer_nodes(graph.graph):
        layer, (source, _, bias) = quant_table(graph).layers[node.name], node.args[:3]
        before = quant_table(dynamic_graph(built.quantized)).layers[node.name].bias
        step = torch.tensor(layer.scale).double() * source.args[1]  # type: ignore[union-attr, operator]
        off = (torch.tensor(before).double() - torch.tensor(layer.bias).double() * step).abs() / step
        assert off.max() <= 0.5
        assert torch.equal(constant(graph, bias), (torch.tensor(layer.bias).double() * step).float())  # type: ignore[arg-type]


def test_int16_logits_are_whole_steps(built: Built, seen: Tensor) -> None:
    graph = int16_graph(built.quantized)
    steps = graph(seen) / output_params(graph.graph)[0]
    assert torch.allclose(steps, steps.round(), atol=2e-3)  # up to 32767 steps in a float32
    assert steps.abs().max() > 1000


@pytest.mark.parametrize("derive", [dynamic_graph, int16_graph])
def test_an_operand_keeps_the_value_of_its_int8_integer(derive: object) -> None:
    """0.26 in steps of 0.1 is 3: 0.3, which 16 bits would write as 0.26."""
    graph = derive(_plus_a_constant(0.26, 0.1))  # type: ignore[operator]
    assert graph(torch.zeros(1)).item() == pytest.approx(0.3, abs=12.8 / 32767)


def _plus_a_constant(value: float, scale: float) -> fx.GraphModule:
    """Return the quantized graph of x + value."""
    root, graph = torch.nn.Module(), fx.Graph()
    root.register_buffer("operand", torch.tensor([value]))
    sources = [graph.placeholder("x"), graph.get_attr("operand")]
    total = graph.call_function(torch.ops.aten.add.Tensor, tuple(_rounded(graph, s, scale) for s in sources))
    graph.output(_rounded(graph, total, scale))
    return fx.GraphModule(root, graph)


def _rounded(graph: fx.Graph, node: fx.Node, scale: float) -> fx.Node:
    params = (scale, 0, -128, 127, torch.int8)
    integers = graph.call_function(torch.ops.quantized_decomposed.quantize_per_tensor.default, (node, *params))
    return graph.call_function(DEQUANTIZE, (integers, *params))
