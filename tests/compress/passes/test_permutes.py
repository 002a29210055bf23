"""Transposes and shuffles have one spelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.permutes import spell_out_permutes

permute = torch.ops.aten.permute.default


@pytest.mark.parametrize(
    ("function", "order"),
    [
        (lambda x: x.transpose(2, 3), [0, 1, 3, 2]),
        (lambda x: x.transpose(-1, 1), [0, 3, 2, 1]),
        (lambda x: x.mT, [0, 1, 3, 2]),
        (lambda x: x.movedim(1, -1), [0, 2, 3, 1]),
        (lambda x: x.flatten(1).t(), [1, 0]),
    ],
)
def test_a_transpose_is_a_permute(function: Callable[[Tensor], Tensor], order: list[int], seen: Tensor) -> None:
    graph = raw(Call(function))
    spell_out_permutes(graph)
    (node,) = call_nodes(tidy(graph).graph, permute)
    assert node.args[1] == order
    assert distance(graph, Call(function), seen) == 0


@pytest.mark.parametrize(
    ("shuffle", "shape", "order"),
    [
        (nn.ChannelShuffle(2), [-1, 2, 3, 8, 8], [0, 2, 1, 3, 4]),
        (nn.PixelUnshuffle(4), [-1, 6, 2, 4, 2, 4], [0, 1, 3, 5, 2, 4]),
    ],
)
def test_a_shuffle_is_a_permute_between_reshapes(
    shuffle: nn.Module, shape: list[int], order: list[int], seen: Tensor
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 1), shuffle)
    graph = raw(net)
    assert spell_out_permutes(graph).notes == ("spelled out 1 shuffles",)
    assert ops(tidy(graph)) == ["conv2d", "reshape", "permute", "reshape"]
    assert [n.args[1] for n in call_nodes(graph.graph)[1:3]] == [shape, order]
    assert distance(graph, net, seen) == 0


def test_a_graph_without_any_is_left_alone() -> None:
    assert not spell_out_permutes(raw(nn.Conv2d(1, 2, 1))).changed
