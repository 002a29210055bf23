"""The plan, and the graph that it becomes: every number stands on its grid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from nets import SMALL, Built, distance, small
from torch import Tensor, fx

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import MOST_BIAS_STEPS, QuantPlan, apply_plan, plan_from_ranges, weight_params
from attendc.compress.tensors import sharing_groups
from attendc.errors import InternalError
from attendc.exported import constant
from attendc.qdq import layer_nodes, quant_table
from attendc.types import QuantParams

WIDE = QuantParams((0.1,), (0,))


def layers(built: Built) -> list[tuple[fx.Node, Tensor, Tensor]]:
    """Return (layer, weight, scale (O, 1, ...)) of the quantized graph."""
    found = []
    for node in layer_nodes(built.quantized.graph):
        weight, scale, *_ = node.args[1].args[0].args  # type: ignore[union-attr]
        w = constant(built.quantized, weight)
        found.append((node, w, constant(built.quantized, scale).view(-1, *[1] * (w.ndim - 1))))
    return found


# Weights


def test_a_weights_scale_is_its_largest_over_127_per_channel() -> None:
    weight = torch.tensor([[1.0, -2.54], [0.127, 0.0]])  # largest: 2.54 and 0.127
    params = weight_params(weight, torch.zeros(2), 1.0)
    assert params.scale == pytest.approx((2.54 / 127, 0.127 / 127))
    assert (params.zero_point, params.qmin, params.qmax, params.ch_axis) == ((0, 0), -127, 127, 0)


def test_a_channel_of_zeros_has_a_scale_that_is_not_zero() -> None:
    params = weight_params(torch.zeros(2, 3), torch.zeros(2), 1.0)
    assert params.scale == (2.0**-40, 2.0**-40)


def test_a_huge_bias_widens_the_scale_until_it_fits() -> None:
    params = weight_params(torch.full((1, 1), 1e-6), torch.tensor([1000.0]), 0.01)
    assert params.scale[0] == pytest.approx(1000 / (0.01 * 2**22))
    assert round(1000 / (params.scale[0] * 0.01)) <= MOST_BIAS_STEPS == 2**22


def test_the_plan_of_a_real_layer_is_the_formula(built: Built) -> None:
    (conv, *_) = call_nodes(built.corrected.graph, torch.ops.aten.conv2d.default)
    weight = constant(built.corrected, conv.args[1])
    assert built.plan.weights["conv2d"].scale == tuple((weight.abs().amax((1, 2, 3)) / 127).tolist())


def test_integers_stay_within_127_and_the_largest_is_127(built: Built) -> None:
    for name, layer in quant_table(built.quantized).layers.items():
        integers = np.frombuffer(layer.weight, np.int8).reshape(layer.shape[0], -1)
        assert np.abs(integers.astype(int)).max(1).tolist() == [127] * len(integers), name


def test_weights_of_the_graph_stand_on_their_grid(built: Built) -> None:
    for node, weight, scale in layers(built):
        steps = weight.double() / scale.double()
        assert (steps - steps.round()).abs().max() < 1e-4, node.name  # a float32 of 24 bits, up to 127 of 7 bits


def test_rounding_again_in_either_precision_gives_the_same_integers(built: Built) -> None:
    for node, weight, scale in layers(built):
        in_double = torch.round(weight.double() / scale.double())
        assert torch.equal(torch.round(weight / scale).double(), in_double), node.name
        assert torch.equal(torch.round(weight * (1 / scale)).double(), in_double), node.name


def test_biases_stand_on_the_grid_of_input_scale_times_weight_scale(built: Built) -> None:
    for node, _, scale in layers(built):
        step = scale.flatten().double() * float(node.args[0].args[1])  # type: ignore[union-attr, arg-type]
        steps = constant(built.quantized, node.args[2]).double() / step  # type: ignore[arg-type]
        assert (steps - steps.round()).abs().max() < 0.01, node.name
        assert steps.abs().max() <= MOST_BIAS_STEPS


def test_a_rounded_weight_is_at_most_half_a_step_off(built: Built) -> None:
    before = [
        constant(built.corrected, n.args[1]) for n in call_nodes(built.corrected.graph) if n.name in built.plan.weights
    ]
    for (node, weight, scale), original in zip(layers(built), before, strict=True):
        assert ((weight - original).abs() / scale).max() <= 0.5 + 1e-4, node.name


def test_a_huge_bias_with_tiny_weights_survives(seen: Tensor) -> None:
    graph = capture(small("silu"), SMALL)
    conv = call_nodes(graph.graph)[0]
    constant(graph, conv.args[1]).data.mul_(1e-7)  # type: ignore[arg-type]
    constant(graph, conv.args[2]).data.fill_(3.0)  # type: ignore[arg-type]
    names = sharing_groups(graph.graph).leader
    quantized = apply_plan(graph, plan_from_ranges(graph, dict.fromkeys(names, QuantParams((0.05,), (0,)))))
    assert quant_table(quantized).layers["conv2d"].bias == pytest.approx([2**22] * 4, abs=1)
    assert distance(quantized, graph, seen) < 0.1  # two steps


# Activations


def test_groups_have_equal_parameters(built: Built) -> None:
    found = built.plan.activations
    assert found["mul_21"] == found["max_pool2d"]
    assert found["conv2d_3"] == found["conv2d_4"] == found["cat"]
    assert found["conv2d_default_1"] == found["flatten_using_ints"]


def test_fixed_outputs_are_fixed_whatever_was_measured() -> None:
    graph = capture(small("sigmoid_gate"), SMALL)
    plan = plan_from_ranges(graph, dict.fromkeys(sharing_groups(graph.graph).leader, WIDE))
    assert plan.activations["sigmoid"] == QuantParams((1 / 256,), (-128,))
    assert plan.activations["conv2d"].scale == (float(np.float32(0.1)),)


def test_members_of_a_group_measured_apart_get_the_range_that_holds_both() -> None:
    graph = run_passes(capture(small("concat"), SMALL), INT8_PASSES)
    found = dict.fromkeys(sharing_groups(graph.graph).leader, WIDE)
    found["conv2d_1"] = QuantParams((0.01,), (-128,))  # 0 .. 2.55
    found["conv2d_2"] = QuantParams((0.01,), (127,))  # -2.55 .. 0
    found["cat"] = found["conv2d_1"]
    params = plan_from_ranges(graph, found).activations["cat"]
    assert params.scale[0] == pytest.approx(5.1 / 255)  # -2.55 .. 2.55
    assert params.zero_point[0] in (-1, 0)


def test_a_tensor_without_a_range_is_a_bug_of_ours() -> None:
    with pytest.raises(InternalError, match="no range was found for input_1"):
        plan_from_ranges(capture(small("silu"), SMALL), {})


def test_scales_are_float32_numbers_and_not_zero() -> None:
    graph = capture(small("silu"), SMALL)
    measured = dict.fromkeys(sharing_groups(graph.graph).leader, QuantParams((0.0,), (300,)))
    params = plan_from_ranges(graph, measured).activations["conv2d"]
    assert 0 < params.scale[0] < 1e-6
    assert float(np.float32(params.scale[0])) == params.scale[0]
    assert params.zero_point[0] == 127


# Applying


def test_the_graph_has_exactly_the_plans_parameters(built: Built) -> None:
    quantized = apply_plan(built.corrected, built.plan)
    expected = {n: (p.scale[0], p.zero_point[0]) for n, p in built.plan.activations.items()}
    assert quant_table(quantized).activations == expected


def test_the_float_graph_is_not_changed(built: Built, seen: Tensor) -> None:
    before = built.corrected(seen)
    apply_plan(built.corrected, built.plan)
    assert torch.equal(built.corrected(seen), before)


def test_nothing_of_the_quantized_graph_is_trained(built: Built) -> None:
    assert not [n for n, p in apply_plan(built.corrected, built.plan).named_parameters() if p.requires_grad]


def test_given_weight_parameters_are_taken(built: Built) -> None:
    mine = dataclasses.replace(built.plan.weights["linear"], scale=(0.5,) * 10)
    plan = plan_from_ranges(built.corrected, built.plan.activations, {"linear": mine})
    assert plan == QuantPlan(built.plan.activations, {**built.plan.weights, "linear": mine})


def test_the_output_is_a_whole_number_of_steps(built: Built, seen: Tensor) -> None:
    scale = built.plan.activations["linear"].scale[0]
    steps = built.quantized(seen).double() / scale
    assert (steps - steps.round()).abs().max() < 1e-4
