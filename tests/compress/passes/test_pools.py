"""Global averages as pools of a known size."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.pools import spell_out_pools

avg_pool = torch.ops.aten.avg_pool2d.default


def flat(part: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1), part, nn.Flatten(1))


@pytest.mark.parametrize(
    ("part", "kernel"),
    [
        (nn.AdaptiveAvgPool2d(1), [8, 8]),
        (nn.AdaptiveAvgPool2d((2, 4)), [4, 2]),  # 8 rows in 2, 8 columns in 4
        (Call(lambda x: x.mean((2, 3), keepdim=True)), [8, 8]),
        (Call(lambda x: x.mean((-1, -2))), [8, 8]),
    ],
)
def test_it_becomes_an_average_pool(part: nn.Module, kernel: list[int], seen: Tensor) -> None:
    net = flat(part)
    graph = raw(net)
    assert spell_out_pools(graph).notes == ("spelled out 1 global averages as pools",)
    (pool,) = call_nodes(tidy(graph).graph, avg_pool)
    assert pool.args[1:3] == (kernel, kernel)
    assert not {"mean", "adaptive_avg_pool2d"} & set(ops(graph))
    assert distance(graph, net, seen) < 1e-6


def test_a_mean_over_rows_is_a_pool_of_one_column(seen: Tensor) -> None:
    net = flat(Call(lambda x: x.mean(2)))
    graph = raw(net)
    spell_out_pools(graph)
    (pool,) = call_nodes(tidy(graph).graph, avg_pool)
    assert pool.args[1:3] == ([8, 1], [8, 1])
    assert distance(graph, net, seen) < 1e-6


@pytest.mark.parametrize(
    ("part", "after"),
    [
        (Call(lambda x: x.amax((2, 3))), ["max_pool2d", "flatten"]),
        (Call(lambda x: x.amax(3, keepdim=True)), ["max_pool2d"]),
        (Call(lambda x: x.max(1).values), ["amax", "reshape"]),
        (Call(lambda x: x.max(1, keepdim=True)[0]), ["amax"]),
        (Call(lambda x: x.mean(1)), ["mean", "reshape"]),
        (Call(lambda x: x.mean((1, 3))), ["mean", "reshape"]),
    ],
)
def test_maxima_become_pools_and_others_keep_their_dimensions(part: nn.Module, after: list[str], seen: Tensor) -> None:
    net = flat(part)
    graph = raw(net)
    assert spell_out_pools(graph).changed
    assert ops(tidy(graph))[1 : 1 + len(after)] == after
    assert distance(graph, net, seen) < 1e-6


@pytest.mark.parametrize(
    "part",
    [
        nn.AdaptiveAvgPool2d(3),
        Call(lambda x: x.mean(1, keepdim=True)),
        Call(lambda x: x - x.mean((0, 2, 3), keepdim=True)),
        Call(lambda x: x.max(1, keepdim=True)[1].float()),
    ],
)
def test_other_averages_and_positions_of_maxima_stay(part: nn.Module) -> None:
    graph = raw(flat(part))
    before = ops(graph)
    assert not spell_out_pools(graph).changed
    assert ops(tidy(graph)) == before
