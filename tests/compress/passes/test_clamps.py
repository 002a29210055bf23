"""Clamps to other limits than ReLU's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.clamps import spell_out_clamps


@pytest.mark.parametrize(
    ("clamp", "after"),
    [
        (lambda x: x.clamp(0, 1), ["mul", "hardtanh", "mul"]),  # relu6(6 x) / 6
        (lambda x: x.clamp(-3, 3), ["add", "hardtanh", "add"]),  # relu6(x + 3) - 3
        (nn.functional.hardtanh, ["mul", "add", "hardtanh", "mul", "add"]),  # relu6(3 x + 3) / 3 - 1
        (lambda x: x.clamp(min=-0.5), ["add", "relu", "add"]),
        (lambda x: x.clamp(max=0.5), ["sub", "relu", "sub"]),
        (lambda x: torch.clamp_max(x, 0.5), ["sub", "relu", "sub"]),
        (lambda x: torch.clamp_min(x, -0.5), ["add", "relu", "add"]),
    ],
)
def test_it_becomes_a_relu_that_computes_the_same(
    clamp: Callable[[Tensor], Tensor], after: list[str], seen: Tensor
) -> None:
    net = nn.Sequential(Call(clamp), nn.Flatten(1))
    graph = raw(net)
    assert spell_out_clamps(graph).notes == ("spelled out 1 clamps",)
    assert ops(tidy(graph)) == [*after, "view"]
    values = torch.linspace(-8, 8, 64).reshape(1, 1, 8, 8)
    assert distance(graph, net, values) < 2e-6
    assert distance(graph, net, seen) < 2e-6


@pytest.mark.parametrize(
    "clamp",
    [
        nn.functional.relu,
        lambda x: x.clamp(0, 6),
        lambda x: x.clamp(1, 1),
        lambda x: torch.clamp(x, torch.zeros(1, device=x.device), None),
    ],
)
def test_relus_empty_ranges_and_limits_that_are_tensors_stay(clamp: Callable[[Tensor], Tensor]) -> None:
    assert not spell_out_clamps(raw(nn.Sequential(Call(clamp), nn.Flatten(1)))).changed
