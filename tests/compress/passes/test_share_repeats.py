"""What is computed twice is computed once."""

from __future__ import annotations

import torch
from nets import Call, distance, ops, raw, small
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.share_repeats import share_repeats
from attendc.models.layers import DCAC
from attendc.types import Preprocess

WIDE = Preprocess(8, 8, 4, (0.5,) * 4, (0.5,) * 4)


def test_the_two_pools_of_a_condenser_become_one() -> None:
    torch.manual_seed(0)
    block = DCAC(4, 4, stride=2, columns=2, bottleneck=False, gate="sigmoid", activation="silu")
    net = nn.Sequential(block, nn.Flatten(1)).eval()
    graph = raw(net, WIDE)
    before = ops(graph)
    assert share_repeats(graph).notes == ("shared 1 operations that were computed twice",)
    assert (before.count("avg_pool2d"), ops(tidy(graph)).count("avg_pool2d")) == (2, 1)
    assert len(ops(graph)) == len(before) - 1
    assert distance(graph, net, torch.randn(2, 4, 8, 8)) == 0


def test_what_only_looks_alike_is_not_shared(seen: Tensor) -> None:
    net = nn.Sequential(Call(lambda x: x.mul(2.0) + x.mul(3.0) + x.add(2.0)), nn.Flatten(1))
    graph = raw(net)
    assert not share_repeats(graph).changed
    assert distance(tidy(graph), net, seen) == 0


def test_chains_of_repeats_are_shared_whole(seen: Tensor) -> None:
    net = nn.Sequential(Call(lambda x: torch.sigmoid(torch.relu(x)) * torch.sigmoid(torch.relu(x))), nn.Flatten(1))
    graph = raw(net)
    assert share_repeats(graph).notes == ("shared 2 operations that were computed twice",)
    assert distance(tidy(graph), net, seen) == 0


def test_layers_with_weights_of_their_own_are_not_shared() -> None:
    graph = raw(small("concat"))
    before = ops(graph)
    share_repeats(graph)
    assert ops(tidy(graph)) == before
