"""What depends on no input is computed once."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.fold_constants import fold_constants


class Standardized(nn.Module):
    """A linear layer whose weight is made anew from its parameter each time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 64))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return nn.functional.linear(x.flatten(1), weight)


def test_a_weight_that_is_computed_is_computed_once_and_trained(seen: Tensor) -> None:
    torch.manual_seed(0)
    net = Standardized()
    graph = raw(net)
    assert ops(graph) == ["mean", "sub", "view", "linear"]
    assert fold_constants(graph).notes == ("computed 1 constants",)
    assert ops(tidy(graph)) == ["view", "linear"]
    assert distance(graph, net, seen) == 0
    assert [p.shape for p in graph.parameters()] == [(3, 64)]


def test_a_mask_made_in_the_forward_is_a_buffer(seen: Tensor) -> None:
    net = Call(lambda x: x.flatten(1) + torch.full((64, 64), -1.0).triu(1)[3])
    graph = raw(net)
    fold_constants(graph)
    assert ops(tidy(graph)) == ["view", "add"]
    assert [b.tolist() for b in graph.buffers()] == [[0.0] * 4 + [-1.0] * 60]
    assert list(graph.parameters()) == []
    assert distance(graph, net, seen) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flatten(1) + torch.rand(64),
        lambda x: x.flatten(1) + torch.zeros(x.shape[0], 64),
        lambda x: x.flatten(1) + 1,
    ],
)
def test_random_numbers_and_sizes_of_the_batch_stay(function: object) -> None:
    graph = raw(Call(function))  # type: ignore[arg-type]
    before = ops(graph)
    assert not fold_constants(graph).changed
    assert ops(tidy(graph)) == before
