"""Zero padding that the next convolution takes over."""

from __future__ import annotations

import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.pads_into_convs import pads_into_convs


def padded(pad: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), pad, nn.Conv2d(2, 2, 3), nn.Flatten(1)).eval()


def test_even_padding_with_zeros_joins_the_convolution(seen: Tensor) -> None:
    net = padded(nn.ZeroPad2d(1))
    graph = raw(net)
    assert pads_into_convs(graph).changed
    assert ops(tidy(graph)) == ["conv2d", "conv2d", "view"]
    assert distance(graph, net, seen) < 1e-6


def test_padding_with_another_value_stays(seen: Tensor) -> None:
    net = padded(nn.ConstantPad2d(1, 0.5))
    graph = raw(net)
    assert not pads_into_convs(graph).changed
    assert distance(tidy(graph), net, seen) < 1e-6
