"""Activations spelled out, against torch's own."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw, small
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.decompose import decompose_activations

ENDS = ["adaptive_avg_pool2d", "view", "linear"]


@pytest.mark.parametrize(
    ("middle", "before", "after"),
    [
        ("silu", ["silu"], ["sigmoid", "mul"]),
        ("hardsigmoid_gate", ["conv2d", "hardsigmoid", "mul"], ["conv2d", "add", "hardtanh", "mul", "mul"]),
        ("relu6_as_function", ["add", "relu6"], ["add", "hardtanh"]),
        ("clamp", ["clamp"], ["hardtanh"]),
    ],
)
def test_it_is_spelled_out_and_computes_the_same(
    middle: str, before: list[str], after: list[str], seen: Tensor
) -> None:
    net = small(middle)
    graph = raw(net)
    assert ops(graph) == ["conv2d", *before, *ENDS]
    decompose_activations(graph)
    assert ops(tidy(graph)) == ["conv2d", *after, *ENDS]
    assert distance(graph, net, seen) < 1e-6


@pytest.mark.parametrize("value", [-4.0, -3.0, -1.0, 0.0, 2.5, 3.0, 7.0])
def test_hardsigmoid_is_clip_of_x_plus_3_over_6(value: float) -> None:
    net = nn.Sequential(nn.Hardsigmoid(), nn.Flatten(1))
    graph = raw(net)
    decompose_activations(graph)
    x = torch.full((1, 1, 8, 8), value)
    assert tidy(graph)(x)[0, 0].item() == pytest.approx(min(max(value + 3, 0), 6) / 6)


def test_numbers_become_constants_with_as_many_dimensions(seen: Tensor) -> None:
    net = small("numbers")
    graph = raw(net)
    assert decompose_activations(graph).notes == ("spelled out 2 numbers",)
    assert [tuple(b.shape) for _, b in tidy(graph).named_buffers()] == [(1, 1, 1, 1)] * 2
    assert sorted(float(b) for _, b in graph.named_buffers()) == [0.5, 2.0]
    assert distance(graph, net, seen) < 1e-6


def test_a_clamp_from_0_on_becomes_a_relu() -> None:
    graph = raw(nn.Sequential(Call(lambda x: torch.clamp(x, min=0)), nn.Flatten(1)))
    decompose_activations(graph)
    assert ops(tidy(graph))[-2:] == ["relu", "view"]


def test_other_clamps_stay() -> None:
    graph = raw(nn.Sequential(Call(lambda x: torch.clamp(x, 0, 1)), nn.Flatten(1)))
    assert not decompose_activations(graph).changed
    assert "clamp" in ops(graph)


def test_what_is_made_remembers_its_module() -> None:
    graph = raw(small("silu"))
    decompose_activations(graph)
    made = [n for n in graph.graph.nodes if n.name in ("sigmoid_default", "mul_tensor")]
    assert [next(reversed(n.meta["nn_module_stack"].values()))[0] for n in made] == ["1", "1"]
