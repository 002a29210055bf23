"""A bias for every layer."""

from __future__ import annotations

import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.give_biases import give_biases
from attendc.exported import constant


def test_layers_without_a_bias_get_zeros(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(1), nn.Linear(108, 5, bias=False))
    graph = raw(net)
    before = ops(graph)
    assert give_biases(graph).notes == ("gave 2 layers a bias of zeros",)
    assert ops(tidy(graph)) == before
    layers = [n for n in call_nodes(graph.graph) if n.name in ("conv2d", "linear")]
    assert [constant(graph, n.args[2]).tolist() for n in layers] == [[0.0] * 3, [0.0] * 5]
    assert distance(graph, net, seen) == 0


def test_a_bias_that_is_there_stays(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(1))
    graph = raw(net)
    assert not give_biases(graph).changed
    assert distance(tidy(graph), net, seen) == 0


def test_stride_padding_and_groups_are_kept(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1, bias=False), nn.Conv2d(4, 4, 3, 2, 1, 1, 4, bias=False), nn.Flatten(1))
    graph = raw(net)
    give_biases(graph)
    assert distance(tidy(graph), net, seen) == 0


def test_the_new_bias_can_be_trained() -> None:
    graph = raw(nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(1)))
    give_biases(graph)
    assert isinstance(tidy(graph).conv2d_bias, torch.nn.Parameter)
