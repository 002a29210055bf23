"""Reading the numbers of a quantized graph."""

from __future__ import annotations

import numpy as np
import torch
from nets import Built
from torch import Tensor

from attendc.compress.plan import apply_plan
from attendc.qdq import activation_nodes, input_params, layer_nodes, output_params, quant_table


def test_every_tensor_of_the_plan_is_found(built: Built) -> None:
    quantized = apply_plan(built.corrected, built.plan)
    assert [n.all_input_nodes[0].name for n in activation_nodes(quantized.graph)] == [*built.plan.activations]
    assert {n.name for n in layer_nodes(quantized.graph)} == set(built.plan.weights)


def test_input_and_output_have_the_parameters_of_the_first_and_the_last_tensor(built: Built) -> None:
    params = [(p.scale[0], p.zero_point[0]) for p in built.plan.activations.values()]
    assert (input_params(built.quantized.graph), output_params(built.quantized.graph)) == (params[0], params[-1])


def test_a_float_graph_has_none(built: Built) -> None:
    assert activation_nodes(built.floating.graph) == layer_nodes(built.floating.graph) == []


def test_the_integers_times_the_scale_are_the_weights(built: Built) -> None:
    layer = quant_table(built.quantized).layers["linear"]
    integers = torch.from_numpy(np.frombuffer(layer.weight, np.int8).reshape(layer.shape).copy())
    real = integers * torch.tensor(layer.scale)[:, None]
    assert torch.allclose(real, built.corrected.head.weight, atol=max(layer.scale) / 2 + 1e-6)


def test_a_layer_computed_from_its_integers_is_the_graphs_own(built: Built, seen: Tensor) -> None:
    table = quant_table(built.quantized)
    layer, (scale, zero_point) = table.layers["conv2d"], input_params(built.quantized.graph)
    x = (torch.round(seen.double() / scale) + zero_point).clamp(-128, 127) - zero_point
    weight = torch.from_numpy(np.frombuffer(layer.weight, np.int8).reshape(layer.shape).copy())
    sums = torch.nn.functional.conv2d(x, weight.double(), torch.tensor(layer.bias).double(), padding=1)
    real = sums * scale * torch.tensor(layer.scale).double().view(1, -1, 1, 1)
    relu = next(n for n in activation_nodes(built.quantized.graph) if n.all_input_nodes[0].name == "relu")
    inside = torch.fx.Interpreter(built.quantized)
    expected = {}
    inside.run_node = lambda n, run=inside.run_node: expected.setdefault(n, run(n))  # type: ignore[method-assign]
    inside.run(seen)
    assert torch.allclose(expected[relu.all_input_nodes[0]].double(), real.relu(), atol=1e-4)
