"""Average pools as depthwise convolutions."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw
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


BORDERS = [
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AvgPool2d(3, 2, ceil_mode=True),  # 8 pixels: outputs at 0, 2, 4 and 6, of which the last sees 2 pixels
    nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d((3, 2), (3, 1), (1, 0), ceil_mode=True),
]


@pytest.mark.parametrize("pool", BORDERS)
def test_what_the_border_counts_is_made_good_by_a_product(pool: nn.Module, seen: Tensor) -> None:
    net = pooled(pool)
    graph = raw(net)
    assert pools_as_convs(graph).changed
    assert ops(tidy(graph))[-2:] in (["mul", "view"], ["conv2d", "view"])
    assert "avg_pool2d" not in ops(graph)
    assert distance(graph, net, seen) < 1e-6


def test_the_product_is_the_area_over_the_count() -> None:
    graph = raw(pooled(nn.AvgPool2d(3, 2, 1, count_include_pad=False)))
    pools_as_convs(graph)
    (product,) = call_nodes(tidy(graph).graph, torch.ops.aten.mul.Tensor)
    border = constant(graph, product.args[1])
    assert border.shape == (1, 1, 4, 4)  # outputs at -1, 1, 3 and 5: only the first sees padding
    assert torch.allclose(border[0, 0, :2, :2], torch.tensor([[9 / 4, 9 / 6], [9 / 6, 1.0]]))


def test_a_size_that_rounding_up_does_not_change_needs_no_pad(seen: Tensor) -> None:
    net = pooled(nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False))
    graph = raw(net)
    pools_as_convs(graph)
    assert ops(tidy(graph)) == ["conv2d", "conv2d", "view"]
    assert distance(graph, net, seen) < 1e-6


def test_a_divisor_goes_into_the_filters(seen: Tensor) -> None:
    net = pooled(nn.AvgPool2d(2, divisor_override=3))
    graph = raw(net)
    pools_as_convs(graph)
    made = call_nodes(tidy(graph).graph, torch.ops.aten.conv2d.default)[-1]
    assert torch.equal(constant(graph, made.args[1]), torch.full((3, 1, 2, 2), 1 / 3))
    assert distance(graph, net, seen) < 1e-6
