"""Arithmetic in terms of what LiteRT has in int8, against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.arithmetic import spell_out_arithmetic

Function = Callable[[Tensor], Tensor]


def flat(function: Function) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), Call(function), nn.Flatten(1)).eval()


@pytest.mark.parametrize(
    ("function", "after", "note"),
    [
        (lambda x: x / 4, ["mul"], "1 divisions"),
        (lambda x: x / torch.sqrt(x * x + 1), ["mul", "add", "rsqrt", "mul"], "1 divisions"),
        (lambda x: 1 / torch.sqrt(x * x + 1), ["mul", "add", "rsqrt", "mul"], "1 divisions"),
        (lambda x: x**2, ["mul"], "1 powers"),
        (torch.square, ["mul"], "1 powers"),
        (lambda x: (x * x + 1) ** -0.5, ["mul", "add", "rsqrt"], "1 powers"),
        (lambda x: 2 - x, ["sub"], "1 negations"),
        (lambda x: -x, ["mul"], "1 negations"),
        (lambda x: torch.add(x, torch.tanh(x), alpha=3), ["tanh", "mul", "add"], "1 scaled sums"),
        (lambda x: torch.sub(x, torch.tanh(x), alpha=3), ["tanh", "mul", "sub"], "1 scaled sums"),
    ],
)
def test_it_is_spelled_out_and_computes_the_same(function: Function, after: list[str], note: str, seen: Tensor) -> None:
    net = flat(function)
    graph = raw(net)
    assert spell_out_arithmetic(graph).notes == (f"spelled out {note}",)
    assert ops(tidy(graph)) == ["conv2d", *after, "view"]
    assert distance(graph, net, seen) < 2e-6


@pytest.mark.parametrize("function", [lambda x: x**3, lambda x: x / (x * x + 1), torch.sqrt, lambda x: x + 1])
def test_what_has_no_such_form_stays(function: Function) -> None:
    assert not spell_out_arithmetic(raw(flat(function))).changed


class Scaled(nn.Module):
    """x * scale + offset, with constants of fewer dimensions than x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4, 1, 1))
        self.register_buffer("offset", torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


def test_constants_get_as_many_dimensions_and_parameters_stay_parameters(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Scaled(), nn.Flatten(1))
    graph = raw(net)
    assert spell_out_arithmetic(graph).notes == ("spelled out 2 constants with fewer dimensions",)
    tidy(graph)
    assert [tuple(b.shape) for _, b in graph.named_buffers()] == [(1, 1, 1, 8)]
    assert sorted(tuple(p.shape) for _, p in graph.named_parameters()) == [(1, 4, 1, 1), (4,), (4, 1, 1, 1)]
    assert distance(graph, net, seen) == 0
