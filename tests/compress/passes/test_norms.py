"""Norms in terms of means, products and rsqrt: the same numbers, and what int8 leaves of them."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, fx, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.free_batch import free_batch
from attendc.compress.passes.norms import spell_out_norms
from attendc.exported import constant


class ChannelsLast(nn.Module):
    """A norm over channels between permutations."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def normed(norm: nn.Module) -> nn.Sequential:
    """Return a network with a norm behind a convolution to 6 channels, its factors drawn at random."""
    torch.manual_seed(0)
    for parameter in norm.parameters():
        parameter.data.uniform_(0.5, 1.5)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), norm, nn.Flatten(1)).eval()


def exported(net: nn.Module) -> fx.GraphModule:
    """Return the graph with reshapes, which take any strides, in place of views."""
    graph = raw(net)
    free_batch(graph)
    return graph


def twice(*mean: str) -> list[str]:
    """Return the operators of a norm, centred and normalised twice, with what its mean is made of."""
    first = [*mean, "sub", "mul", *mean, "mean", "add", "add", "rsqrt", "mul"]
    return [*first, "mul", "mul", "mul", *mean, "add", "rsqrt", "mul"]


@pytest.mark.parametrize(
    ("norm", "after"),
    [
        (nn.LayerNorm(8), [*twice("mean"), "mul", "add"]),
        (nn.LayerNorm(8, elementwise_affine=False), twice("mean")),
        (nn.LayerNorm(8, bias=False), [*twice("mean"), "mul"]),
        (ChannelsLast(nn.LayerNorm(6)), [*twice("mean"), "mul", "add"]),
        (nn.LayerNorm([6, 8, 8]), ["mean", "sub", "mul", "mean", "add", "rsqrt", "mul", "mul", "add"]),
        (nn.GroupNorm(6, 6), [*twice("mean"), "mul", "add"]),
        (nn.GroupNorm(3, 6), [*twice("mean", "conv2d"), "mul", "add"]),
        (nn.GroupNorm(1, 6), ["mean", "sub", "mul", "mean", "add", "rsqrt", "mul", "mul", "add"]),
    ],
)
def test_it_is_spelled_out_and_computes_the_same(norm: nn.Module, after: list[str], seen: Tensor) -> None:
    net = normed(norm)
    graph = exported(net)
    assert spell_out_norms(graph).notes == ("spelled out 1 norms",)
    assert [o for o in ops(tidy(graph))[1:-1] if o != "clone"] == after
    assert distance(graph, net, seen) < 2e-5


def test_an_rms_norm_subtracts_no_mean(seen: Tensor) -> None:
    net = normed(nn.RMSNorm(8))
    graph = raw(net)
    spell_out_norms(graph)
    assert "sub" not in ops(tidy(graph))
    assert distance(graph, net, seen) < 2e-5


def test_means_of_groups_are_a_convolution_with_one_over_their_size() -> None:
    graph = raw(normed(nn.GroupNorm(3, 6)))
    spell_out_norms(graph)
    matrix = constant(graph, call_nodes(tidy(graph).graph, torch.ops.aten.conv2d.default)[1].args[1])
    assert matrix.shape == (6, 6, 1, 1)
    assert matrix[:, :, 0, 0].tolist() == [[0.5 * (i // 2 == j // 2) for j in range(6)] for i in range(6)]


def test_a_flat_image_gives_the_offset_and_no_nan() -> None:
    """All is equal: deviations are 0, and eps alone keeps rsqrt finite."""
    graph = raw(nn.Sequential(nn.LayerNorm(8), nn.Flatten(1)))
    spell_out_norms(graph)
    assert torch.equal(tidy(graph)(torch.full((2, 1, 8, 8), 3.0)), torch.zeros(2, 64))


def test_what_reads_a_norm_in_channels_last_keeps_its_layout(seen: Tensor) -> None:
    net = normed(Call(lambda x: nn.functional.layer_norm(x.permute(0, 2, 3, 1), [6])))
    graph = exported(net)
    spell_out_norms(graph)
    assert ops(tidy(graph))[1:4] == ["permute", "mean", "sub"]
    assert distance(graph, net, seen) < 2e-5
