"""Transposed convolutions become convolutions and shuffles that compute the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nets import distance, ops, raw, settle
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.transposed_convs import transposed_convs

conv2d = torch.ops.aten.conv2d.default


def around(*sizes: Any, **options: Any) -> nn.Sequential:
    """Return a transposed convolution of 4 channels behind a convolution to them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, *sizes, **options))


@pytest.mark.parametrize(
    ("options", "operators"),
    [
        ({"kernel_size": 3, "padding": 1}, ["conv2d"]),
        ({"kernel_size": 2, "stride": 2}, ["conv2d", "pixel_shuffle"]),
        ({"kernel_size": 4, "stride": 2, "padding": 1}, ["conv2d", "pixel_shuffle", "slice", "slice"]),
        ({"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, None),
        ({"kernel_size": 3, "stride": 3, "padding": 2, "bias": False}, None),
        ({"kernel_size": 2, "stride": 3, "output_padding": 2}, None),  # pixels that read nothing but the bias
        ({"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 3, "groups": 2}, None),
        (
            {"kernel_size": (3, 4), "stride": (1, 2), "padding": (0, 1)},
            ["conv2d", "reshape", "permute", "reshape", "slice"],
        ),
    ],
)
def test_it_computes_the_same(options: dict[str, Any], operators: list[str] | None, seen: Tensor) -> None:
    net = around(6, **options)
    graph = raw(net)
    assert transposed_convs(graph).notes == ("1 transposed convolutions became convolutions and shuffles",)
    assert "conv_transpose2d" not in ops(tidy(graph))
    assert operators is None or ops(graph)[1:] == operators
    assert graph(seen).shape == net(seen).shape
    assert distance(graph, net, seen) < 1e-5


def test_a_kernel_of_4_with_stride_2_costs_2_x_2_taps_for_each_of_4_kinds() -> None:
    graph = raw(around(6, 4, stride=2, padding=1))
    transposed_convs(graph)
    conv = call_nodes(tidy(graph).graph, conv2d)[1]
    assert conv.all_input_nodes[1].meta["val"].shape == (6 * 4, 4, 2, 2)


def test_a_batch_norm_behind_it_is_folded_in(seen: Tensor) -> None:
    net = settle(around(6, 2, stride=2, groups=2).append(nn.BatchNorm2d(6)))
    graph = raw(net)
    transposed_convs(graph)
    assert ops(tidy(graph)) == ["conv2d", "conv2d", "pixel_shuffle"]
    assert distance(graph, net, seen) < 1e-5


def test_a_batch_norm_that_others_read_past_stays(seen: Tensor) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.norm = nn.ConvTranspose2d(1, 2, 2, 2), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.up(x)
            return y + self.norm(y)

    net = settle(Both())
    graph = raw(net)
    transposed_convs(graph)
    assert "_native_batch_norm_legit_no_training" in ops(tidy(graph))
    assert distance(graph, net, seen) < 1e-5
