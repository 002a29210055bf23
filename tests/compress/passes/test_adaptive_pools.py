"""Adaptive pools as ordinary ones."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.adaptive_pools import spell_out_adaptive_pools, windows


def flat(part: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), part, nn.Flatten(1)).eval()


def test_windows_are_from_the_floor_to_the_ceiling() -> None:
    assert windows(8, 3) == [(0, 3), (2, 6), (5, 8)]  # 0 .. 2.67, 2.67 .. 5.33, 5.33 .. 8
    assert windows(7, 3) == [(0, 3), (2, 5), (4, 7)]
    assert windows(1, 2) == [(0, 1), (0, 1)]


@pytest.mark.parametrize(
    "part",
    [
        nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveAvgPool2d((3, 8)),
        nn.AdaptiveAvgPool2d((None, 5)),
        nn.AdaptiveAvgPool2d((12, 1)),  # more rows than there are
        nn.AdaptiveMaxPool2d(3),
        nn.AdaptiveMaxPool2d((2, 5)),
    ],
)
def test_it_computes_the_same(part: nn.Module, seen: Tensor) -> None:
    net = flat(part)
    graph = raw(net)
    assert spell_out_adaptive_pools(graph).notes == ("spelled out 1 adaptive pools",)
    assert not [o for o in ops(tidy(graph)) if o.startswith("adaptive")]
    assert distance(graph, net, seen) < 1e-6


def test_even_windows_that_overlap_are_one_pool(seen: Tensor) -> None:
    net = flat(nn.Sequential(nn.MaxPool2d(2, 1), nn.AdaptiveAvgPool2d(3)))  # 7 pixels: see `windows`
    graph = raw(net)
    spell_out_adaptive_pools(graph)
    (pool,) = call_nodes(tidy(graph).graph, torch.ops.aten.avg_pool2d.default)
    assert pool.args[1:3] == ([3, 3], [2, 2])
    assert distance(graph, net, seen) < 1e-6


def test_a_maximum_whose_positions_are_read_stays() -> None:
    net = flat(Call(lambda x: nn.functional.adaptive_max_pool2d(x, 3, return_indices=True)[1].float()))
    assert not spell_out_adaptive_pools(raw(net)).changed
