"""Parallel convolutions as one: the blocks of RepVGG and MobileOne, against themselves."""

from __future__ import annotations

import pytest
import torch
from nets import SMALL, Call, distance, ops, raw, settle
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.fold_bn import fold_bn
from attendc.compress.passes.merge_branches import merge_branches
from attendc.exported import constant

conv2d = torch.ops.aten.conv2d.default


class Sum(nn.Module):
    """The sum of what several modules make of one input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.branches
        y: Tensor = first(x)
        for branch in others:
            y = y + branch(x)
        return y


def conv_bn(kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(4, 4, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(4))


def around(block: nn.Module) -> nn.Sequential:
    """Return a network of 1x8x8 with the block between a convolution and a ReLU."""
    torch.manual_seed(0)
    return settle(nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), block, nn.ReLU(), nn.Flatten(1)))


def repvgg() -> Sum:
    return Sum(conv_bn(3), conv_bn(1), nn.BatchNorm2d(4))


def mobile_one() -> Sum:
    """Return a depthwise block: an identity, a 1x1 scale and three 3x3 branches."""
    return Sum(nn.BatchNorm2d(4), conv_bn(1, groups=4), *(conv_bn(3, groups=4) for _ in range(3)))


@pytest.mark.parametrize(
    ("block", "pairs", "shape", "groups"),
    [
        (repvgg, 2, (4, 4, 3, 3), 1),  # dense, so the depthwise identity fits into it
        (mobile_one, 4, (4, 1, 3, 3), 4),
        (lambda: Sum(conv_bn(3, stride=2), conv_bn(1, stride=2)), 1, (4, 4, 3, 3), 1),
        (lambda: Sum(conv_bn(3), conv_bn(3, groups=2), conv_bn(1)), 2, (4, 4, 3, 3), 1),
        (lambda: Sum(conv_bn(5, groups=4), nn.Conv2d(4, 4, (1, 5), 1, (0, 2), groups=4)), 1, (4, 1, 5, 5), 4),
        (lambda: Sum(nn.Conv2d(4, 4, 3, 1, 2, 2), nn.Conv2d(4, 4, 1)), 1, (4, 4, 3, 3), 1),  # dilation 2
    ],
)
def test_branches_become_one_convolution(
    block: object, pairs: int, shape: tuple[int, ...], groups: int, seen: Tensor
) -> None:
    net = around(block())  # type: ignore[operator]
    graph = raw(net)
    fold_bn(graph)
    assert merge_branches(graph).notes == (f"merged {pairs} pairs of parallel convolutions",)
    _, merged = call_nodes(tidy(graph).graph, conv2d)
    assert tuple(constant(graph, merged.args[1]).shape) == shape
    assert merged.args[6] == groups
    assert ops(graph) == ["conv2d", "relu", "conv2d", "relu", "view"]
    assert distance(graph, net, seen) < 1e-6


def test_the_small_kernel_stands_in_the_middle() -> None:
    net = around(Sum(nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)))
    three, one = net[2].branches
    three.weight.data.fill_(0.0)
    one.weight.data.fill_(2.0)
    graph = raw(net)
    merge_branches(graph)
    merged = call_nodes(tidy(graph).graph, conv2d)[-1]
    assert constant(graph, merged.args[1])[0, 0].tolist() == [[0, 0, 0], [0, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "block",
    [
        Sum(nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.Conv2d(4, 4, 1)),  # 144 weights instead of 36 + 16
        Sum(nn.Conv2d(4, 4, (3, 1), 1, (1, 0)), nn.Conv2d(4, 4, (1, 3), 1, (0, 1))),  # neither holds the other
        Sum(nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 2, 2)),  # other dilations
        Sum(nn.Conv2d(4, 4, 3, 1, 1), nn.Identity()),
        Call(lambda x: torch.add(x, x, alpha=2)),
    ],
)
def test_what_one_convolution_would_not_do_cheaper_stays(block: nn.Module) -> None:
    assert not merge_branches(raw(around(block))).changed


def test_a_factor_of_the_second_branch_is_no_plain_sum() -> None:
    class Weighed(Sum):
        def forward(self, x: Tensor) -> Tensor:
            return torch.add(self.branches[0](x), self.branches[1](x), alpha=2)

    assert not merge_branches(raw(around(Weighed(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))))).changed


def test_branches_that_something_else_reads_stay() -> None:
    class Read(Sum):
        def forward(self, x: Tensor) -> Tensor:
            y = self.branches[0](x)
            return torch.cat([y, y + self.branches[1](x)], 1)

    assert not merge_branches(raw(around(Read(nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 1))))).changed


def test_one_convolution_twice_stays() -> None:
    conv = nn.Conv2d(4, 4, 1)
    assert not merge_branches(raw(around(Sum(conv, conv)))).changed


class Zero(Sum):
    """A sum that begins with the number 0, as MobileOne's does."""

    def forward(self, x: Tensor) -> Tensor:
        return sum(branch(x) for branch in self.branches)  # type: ignore[return-value]


def test_a_sum_that_begins_with_0_is_merged_too(seen: Tensor) -> None:
    net = around(Zero(conv_bn(3, groups=4), conv_bn(1, groups=4)))
    assert ops(capture(net, SMALL, seen)) == ["conv2d", "relu", "conv2d", "relu", "reshape"]


def test_a_captured_repvgg_is_a_row_of_convolutions(seen: Tensor) -> None:
    net = around(nn.Sequential(repvgg(), nn.ReLU(), repvgg()))
    graph = capture(net, SMALL, seen)
    assert ops(graph) == ["conv2d", "relu", "conv2d", "relu", "conv2d", "relu", "reshape"]
    assert distance(graph, net, seen) < 1e-5
