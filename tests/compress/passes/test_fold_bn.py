"""Batch norms folded into convolutions, against the formula by hand."""

from __future__ import annotations

import math

import pytest
import torch
from nets import distance, ops, raw, settle, small
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.fold_bn import fold_bn
from attendc.exported import constant

BN = "_native_batch_norm_legit_no_training"
conv2d = torch.ops.aten.conv2d.default


def one_channel(*, bias: bool) -> nn.Sequential:
    """Return a 1x1 convolution of weight 3 (bias 5) and a batch norm of gamma 2, beta 7, mean 11, variance 4."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=bias), nn.BatchNorm2d(1, eps=1e-5), nn.Flatten(1)).eval()
    conv, norm = net[0], net[1]
    values = [(conv.weight, 3.0), (norm.weight, 2.0), (norm.bias, 7.0), (norm.running_mean, 11.0)]
    for tensor, value in [*values, (norm.running_var, 4.0), *([(conv.bias, 5.0)] if bias else [])]:
        tensor.data.fill_(value)
    return net


@pytest.mark.parametrize(("bias", "b"), [(True, 5.0), (False, 0.0)])
def test_one_channel_against_the_formula(b: float, *, bias: bool) -> None:
    graph = raw(one_channel(bias=bias))
    assert fold_bn(graph).notes == ("folded 1 batch norms into convolutions",)
    (conv,) = call_nodes(tidy(graph).graph, conv2d)
    factor = 2.0 / math.sqrt(4.0 + 1e-5)  # gamma / sqrt(var + eps)
    assert constant(graph, conv.args[1]).item() == pytest.approx(3.0 * factor, rel=1e-6)
    assert constant(graph, conv.args[2]).item() == pytest.approx(7.0 + (b - 11.0) * factor, rel=1e-6)


def test_a_norm_behind_a_convolution_disappears(seen: Tensor) -> None:
    net = small("conv_bn_relu")
    graph = raw(net)
    assert ops(graph).count(BN) == 1
    fold_bn(graph)
    assert ops(tidy(graph)) == ["conv2d", "conv2d", "relu", "adaptive_avg_pool2d", "view", "linear"]
    assert distance(graph, net, seen) < 1e-6


def test_a_norm_behind_a_pool_becomes_a_depthwise_convolution(seen: Tensor) -> None:
    net = small("norm_after_pool")
    graph = raw(net)
    assert fold_bn(graph).notes == ("1 batch norms became depthwise convolutions",)
    made = call_nodes(tidy(graph).graph, conv2d)[-1]
    assert tuple(constant(graph, made.args[1]).shape) == (4, 1, 1, 1)
    assert made.args[6] == 4  # groups
    assert BN not in ops(graph)
    assert distance(graph, net, seen) < 1e-6


def test_a_convolution_that_others_read_too_keeps_its_weights(seen: Tensor) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return torch.flatten(self.norm(y) + y, 1)

    net = settle(Shared())
    graph = raw(net)
    assert fold_bn(graph).notes == ("1 batch norms became depthwise convolutions",)
    assert distance(tidy(graph), net, seen) < 1e-6


def test_a_convolution_used_twice_is_not_folded_twice(seen: Tensor) -> None:
    conv = nn.Conv2d(1, 1, 1)
    net = settle(nn.Sequential(conv, nn.BatchNorm2d(1), conv, nn.BatchNorm2d(1), nn.Flatten(1)))
    graph = raw(net)
    fold_bn(graph)
    assert distance(tidy(graph), net, seen) < 1e-6


def test_a_norm_without_factor_and_offset_is_folded(seen: Tensor) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, affine=False)
    norm.running_mean.data.fill_(0.5)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), norm, nn.Flatten(1)).eval()
    graph = raw(net)
    assert fold_bn(graph).notes == ("folded 1 batch norms into convolutions",)
    assert distance(tidy(graph), net, seen) < 1e-6


def test_a_norm_behind_a_linear_layer_disappears(seen: Tensor) -> None:
    net = settle(nn.Sequential(nn.Flatten(1), nn.Linear(64, 3), nn.BatchNorm1d(3)))
    graph = raw(net)
    assert fold_bn(graph).notes == ("folded 1 batch norms into linear layers",)
    assert ops(tidy(graph)) == ["view", "linear"]
    assert distance(graph, net, seen) < 2e-6


@pytest.mark.parametrize("part", [nn.Flatten(1), nn.Flatten(2)])
def test_a_norm_over_rows_becomes_a_product_and_a_sum(part: nn.Module, seen: Tensor) -> None:
    channels = 64 if part.start_dim == 1 else 3
    first = nn.Identity() if part.start_dim == 1 else nn.Conv2d(1, 3, 1)
    net = settle(nn.Sequential(first, part, nn.ReLU(), nn.BatchNorm1d(channels), nn.Flatten(1)))
    graph = raw(net)
    assert fold_bn(graph).notes == ("1 batch norms became products and sums",)
    assert ops(tidy(graph))[-4:] == ["relu", "mul", "add", "view"] or ops(graph)[-3:] == ["relu", "mul", "add"]
    assert distance(graph, net, seen) < 1e-6
