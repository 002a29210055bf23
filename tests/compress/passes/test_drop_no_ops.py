"""What does nothing at inference goes."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw, small
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.drop_no_ops import drop_no_ops


def test_a_dropout_goes(seen: Tensor) -> None:
    net = small("dropout")
    graph = raw(net)
    before = ops(graph)
    assert drop_no_ops(graph).notes == ("dropped 1 operations that do nothing",)
    assert before == ["conv2d", "clone", "adaptive_avg_pool2d", "view", "linear"]  # the exporter's name for it
    assert ops(tidy(graph)) == ["conv2d", "adaptive_avg_pool2d", "view", "linear"]
    assert distance(graph, net, seen) == 0


@pytest.mark.parametrize(
    "function", [torch.clone, torch.detach, lambda x: x.contiguous(), lambda x: x.to(torch.float32)]
)
def test_copies_of_the_same_type_go(function: object) -> None:
    graph = raw(nn.Sequential(Call(function), nn.Flatten(1)))  # type: ignore[arg-type]
    drop_no_ops(graph)
    assert ops(tidy(graph)) == ["view"]


def test_a_cast_to_another_type_stays_without_its_assertion() -> None:
    graph = raw(nn.Sequential(Call(lambda x: x.to(torch.float64)), nn.Flatten(1)))
    assert drop_no_ops(graph).notes == ("dropped 1 assertions",)
    assert ops(tidy(graph)) == ["_to_copy", "view"]


def test_a_network_without_any_is_left_alone() -> None:
    assert not drop_no_ops(raw(small("silu"))).changed
