"""Tensors with a fixed range beside others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.free_fixed_ranges import free_fixed_ranges
from attendc.compress.tensors import sharing_groups


def flat(function: Callable[[Tensor], Tensor]) -> nn.Sequential:
    return nn.Sequential(Call(function), nn.Flatten(1))


@pytest.mark.parametrize(
    ("function", "after"),
    [
        (lambda x: torch.cat([torch.sigmoid(x), x], 1), ["sigmoid", "mul", "cat"]),
        (lambda x: torch.maximum(x, torch.tanh(x)), ["tanh", "mul", "maximum"]),
        (lambda x: torch.cat([torch.sigmoid(x), torch.tanh(x)], 1), ["sigmoid", "tanh", "mul", "mul", "cat"]),
        (lambda x: torch.cat([torch.sigmoid(x)[:, :, 2:], x], 2), ["sigmoid", "slice", "mul", "cat"]),
    ],
)
def test_they_get_a_range_of_their_own(function: Callable[[Tensor], Tensor], after: list[str], seen: Tensor) -> None:
    net = flat(function)
    graph = raw(net)
    assert free_fixed_ranges(graph).changed
    assert ops(tidy(graph)) == [*after, "view"]
    groups = sharing_groups(graph.graph)
    assert groups.leader[after[-1]] not in groups.fixed
    assert distance(graph, net, seen) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([torch.sigmoid(x), torch.sigmoid(-x)], 1),
        lambda x: torch.cat([x, torch.relu(x)], 1),
        lambda x: torch.sigmoid(x) + x,
    ],
)
def test_where_nothing_is_cut_off_nothing_is_done(function: Callable[[Tensor], Tensor]) -> None:
    assert not free_fixed_ranges(raw(flat(function))).changed
