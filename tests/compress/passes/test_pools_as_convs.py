"""Average pools as depthwise convolutions."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw, small
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.pools_as_convs import pools_as_convs
from attendc.exported import constant


def pooled(pool: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 1), pool, nn.Flatten(1)).eval()


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d((2, 4)),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(2, 1),
        nn.AvgPool2d(2, count_include_pad=False),  # there is no padding to count
    ],
)
def test_the_pool_becomes_a_convolution_that_computes_the_same(pool: nn.Module, seen: Tensor) -> None:
    net = pooled(pool)
    graph = raw(net)
    before = ops(graph)
    assert pools_as_convs(graph).notes == ("1 average pools became depthwise convolutions",)
    assert ops(tidy(graph)) == ["conv2d" if o == "avg_pool2d" else o for o in before]
    assert distance(graph, net, seen) < 1e-6


def test_its_filters_are_one_over_the_kernels_area() -> None:
    graph = raw(pooled(nn.AvgPool2d((2, 4))))
    pools_as_convs(graph)
    made = call_nodes(tidy(graph).graph, torch.ops.aten.conv2d.default)[-1]
    assert torch.equal(constant(graph, made.args[1]), torch.full((3, 1, 2, 4), 1 / 8))
    assert torch.equal(constant(graph, made.args[2]), torch.zeros(3))


def test_training_leaves_its_filters_alone() -> None:
    graph = raw(pooled(nn.AvgPool2d(2)))
    trained = [n for n, _ in graph.named_parameters()]
    pools_as_convs(graph)
    assert [n for n, _ in tidy(graph).named_parameters()] == trained


@pytest.mark.parametrize("middle", ["average_pool_of_the_inside", "average_pool_rounded_up"])
def test_a_pool_that_is_no_convolution_stays(middle: str, seen: Tensor) -> None:
    net = small(middle)
    graph = raw(net)
    assert not pools_as_convs(graph).changed
    assert "avg_pool2d" in ops(tidy(graph))
    assert distance(graph, net, seen) == 0


def test_a_pool_with_a_divisor_of_its_own_stays() -> None:
    assert not pools_as_convs(raw(pooled(nn.AvgPool2d(2, divisor_override=3)))).changed
