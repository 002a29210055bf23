"""Convolutions of every spelling become conv2d with numbers."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.conv_forms import spell_out_convs

aten = torch.ops.aten


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's, of its own speed
@pytest.mark.parametrize(
    ("conv", "pads", "padding"),
    [
        (nn.Conv2d(1, 2, 3, padding="same"), [], [1, 1]),
        (nn.Conv2d(1, 2, (1, 5), padding="same", dilation=2), [], [0, 4]),  # 2 * (5 - 1) over two sides
        (nn.Conv2d(1, 2, (4, 3), padding="same"), [[0, 0, 0, 1]], [1, 1]),  # 3 rows: one above, two below
        (nn.Conv2d(1, 2, 4, padding="valid"), [], [0, 0]),
    ],
)
def test_same_padding_is_told_in_numbers(
    conv: nn.Module, pads: list[list[int]], padding: list[int], seen: Tensor
) -> None:
    graph = raw(conv)
    assert spell_out_convs(graph).notes == ("1 convolutions got numbers for their padding",)
    tidy(graph)
    assert [n.args[1] for n in call_nodes(graph.graph, aten.constant_pad_nd.default)] == pads
    assert [n.args[4] for n in call_nodes(graph.graph, aten.conv2d.default)] == [padding]
    assert distance(graph, conv, seen) < 1e-6


@pytest.mark.parametrize(
    ("conv", "name"),
    [
        (nn.Conv1d(1, 2, 3, stride=2, padding=1), "conv2d"),
        (nn.Conv1d(1, 2, 4, padding="same", dilation=2), "conv2d"),
        (nn.ConvTranspose1d(1, 2, 4, stride=2, padding=1), "conv_transpose2d"),
    ],
)
def test_a_convolution_of_sequences_is_one_of_images_a_row_high(conv: nn.Module, name: str, seen: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(2), conv)
    graph = raw(net)
    spell_out_convs(graph)
    assert [o for o in ops(tidy(graph)) if o != "constant_pad_nd"] == ["view", "reshape", name, "reshape"]
    assert distance(graph, net, seen) < 1e-6


def test_other_convolutions_are_left_alone() -> None:
    assert not spell_out_convs(raw(nn.Conv2d(1, 2, 3, padding=1))).changed
