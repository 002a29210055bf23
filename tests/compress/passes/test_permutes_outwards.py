"""Permutes that move past operators on single numbers, until they meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import SMALL, Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.graph import tidy
from attendc.compress.passes.drop_no_ops import drop_no_ops
from attendc.compress.passes.fold_constants import fold_constants
from attendc.compress.passes.free_batch import free_batch
from attendc.compress.passes.join_layouts import join_layouts
from attendc.compress.passes.permutes_outwards import permutes_outwards

BACK = torch.linspace(-1, 1, 4)


def there(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def back(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def network(function: Callable[[Tensor], Tensor]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), Call(function), nn.Flatten(1)).eval()


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: back(torch.relu(there(x))), ["relu"]),
        (lambda x: back(torch.tanh(nn.functional.gelu(there(x)) * 2)), ["gelu", "mul", "tanh"]),
        (lambda x: back(torch.sigmoid(there(x)) * BACK.view(1, 1, 1, 4)), ["sigmoid", "mul"]),  # a constant of NHWC
        (lambda x: there(x) + there(torch.tanh(x)), ["tanh", "add", "permute"]),  # two become one
        (lambda x: torch.relu(there(x) + 1) * there(x), ["add", "relu", "mul", "permute"]),
    ],
)
def test_they_meet_and_are_joined(function: Callable[[Tensor], Tensor], left: list[str], seen: Tensor) -> None:
    net = network(function)
    graph = raw(net)
    drop_no_ops(graph)
    fold_constants(graph)
    free_batch(graph)
    assert permutes_outwards(tidy(graph)).changed
    join_layouts(tidy(graph))
    assert ops(tidy(graph)) == ["conv2d", *left, "reshape"]
    assert distance(graph, net, seen) < 1e-6


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.relu(there(x)),  # nothing to meet: it stays where it is
        lambda x: there(x) + x.permute(0, 3, 2, 1),  # other orders
        lambda x: back(there(x).softmax(-1)),  # not each number alone
        lambda x: back(torch.relu(there(x)) * torch.rand(8, 4)),  # a constant of fewer dimensions
    ],
)
def test_what_would_not_get_fewer_stays(function: Callable[[Tensor], Tensor]) -> None:
    assert not permutes_outwards(raw(network(function))).changed


def test_a_captured_network_has_none_left(seen: Tensor) -> None:
    net = network(lambda x: back(nn.functional.hardswish(there(x)) + 1))
    graph = capture(net, SMALL, seen)
    assert "permute" not in ops(graph)
    assert distance(graph, net, seen) < 1e-6
