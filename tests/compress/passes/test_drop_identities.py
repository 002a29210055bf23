"""Operators that give back their input go; those that only look like it stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.drop_identities import drop_identities
from attendc.compress.passes.drop_no_ops import drop_no_ops
from attendc.compress.passes.fold_constants import fold_constants
from attendc.compress.passes.free_batch import free_batch

functional = nn.functional


NOTHING: list[Callable[[Tensor], Tensor]] = [
    lambda x: x + 0,
    lambda x: 0.0 + x,
    lambda x: x - 0.0,
    lambda x: 1.0 * x,
    lambda x: x / 1,
    lambda x: x + torch.zeros(1, 4, 1, 1),
    lambda x: x * torch.ones(8, 8),
    lambda x: x.permute(0, 1, -2, 3),
    lambda x: x[:, 0:4],
    lambda x: x.expand(-1, 4, 8, 8),
    lambda x: torch.cat([x], 1),
    lambda x: functional.pad(x, (0, 0, 0, 0)),
    lambda x: functional.avg_pool2d(x, 1),
    lambda x: functional.max_pool2d(x, 1),
    lambda x: functional.interpolate(x, scale_factor=1.0, mode="nearest"),
]

SOMETHING: list[Callable[[Tensor], Tensor]] = [
    lambda x: x + 1e-30,
    lambda x: 0 - x,
    lambda x: x * torch.tensor([1.0, 1.0, 1.0, 2.0]).view(4, 1, 1),
    lambda x: x.mean((2, 3), keepdim=True) + torch.zeros(1, 4, 8, 8),  # stretches its input
    lambda x: x.permute(0, 1, 3, 2),
    lambda x: x[:, 0:3],
    lambda x: functional.max_pool2d(x, 1, stride=2),
    lambda x: functional.pad(x, (0, 0, 1, 0)),
]


def graph_of(*functions: Callable[[Tensor], Tensor]) -> tuple[nn.Sequential, torch.fx.GraphModule]:
    """Return a network that puts what the functions make of 4x8x8 side by side, and its graph: built once for all."""
    torch.manual_seed(0)
    together = Call(lambda x: torch.cat([function(x).flatten(1) for function in functions], 1))
    net = nn.Sequential(nn.Conv2d(1, 4, 1), together).eval()
    graph = raw(net)
    free_batch(graph)
    drop_no_ops(graph)
    fold_constants(graph)
    return net, tidy(graph)


def test_what_does_nothing_goes(seen: Tensor) -> None:
    net, graph = graph_of(*NOTHING)
    drop_identities(graph)
    assert set(ops(tidy(graph))) <= {"conv2d", "reshape", "cat"}
    assert distance(graph, net, seen) == 0


def test_what_does_something_stays(seen: Tensor) -> None:
    net, graph = graph_of(*SOMETHING)
    assert not drop_identities(graph).changed
    assert distance(graph, net, seen) == 0


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: torch.relu(torch.relu(x)), ["relu"]),
        (lambda x: torch.relu(functional.hardtanh(x, 0, 6)), ["hardtanh"]),
        (lambda x: functional.hardtanh(torch.sigmoid(x), 0, 6), ["sigmoid"]),
        (lambda x: functional.hardtanh(torch.relu(x), 0, 6), ["relu", "hardtanh"]),  # still clips at 6
        (lambda x: torch.relu(torch.tanh(x)), ["tanh", "relu"]),
        (lambda x: torch.relu(functional.hardtanh(x, -1, 1)), ["hardtanh", "relu"]),
    ],
)
def test_a_relu_of_what_is_never_negative_goes(
    function: Callable[[Tensor], Tensor], left: list[str], seen: Tensor
) -> None:
    net, graph = graph_of(lambda x: function(9 * x))
    drop_identities(graph)
    assert ops(tidy(graph)) == ["conv2d", "mul", *left, "reshape"]
    assert distance(graph, net, seen) == 0
