"""Rows of reshapes and permutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.drop_no_ops import drop_no_ops
from attendc.compress.passes.free_batch import free_batch
from attendc.compress.passes.join_layouts import join_layouts

permute = torch.ops.aten.permute.default


def joined(function: Callable[[Tensor], Tensor], seen: Tensor) -> torch.fx.GraphModule:
    """Return the graph of a 4x8x8 image's way through a function, joined; it computes what it did, at any batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Call(function), nn.Sigmoid()).eval()
    graph = raw(net)
    drop_no_ops(graph)
    free_batch(graph)
    join_layouts(graph)
    for batch in (1, 3, 60):
        assert distance(tidy(graph), net, seen[:batch]) == 0
    return graph


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), []),  # there and back
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 2, 1, 3), ["permute"]),
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 2, 3, 1).permute(0, 2, 3, 1), []),  # three turns of three
        (lambda x: x.reshape(-1, 4, 64).reshape(-1, 4, 8, 8), []),
        (lambda x: x.flatten(2).reshape(-1, 2, 128), ["reshape"]),
        (lambda x: x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1), ["mean", "reshape"]),  # (N, 4, 1, 1)
        (lambda x: x.reshape(-1, 1, 4, 64).permute(0, 2, 1, 3).reshape(-1, 4, 8, 8), []),
        (lambda x: x.reshape(-1, 2, 2, 64).permute(0, 2, 1, 3).reshape(-1, 4, 8, 8), ["reshape", "permute", "reshape"]),
        (lambda x: x.permute(0, 2, 3, 1), ["permute"]),
    ],
)
def test_only_what_moves_numbers_is_left(function: Callable[[Tensor], Tensor], left: list[str], seen: Tensor) -> None:
    assert ops(joined(function, seen)) == ["conv2d", *left, "sigmoid"]


def test_two_permutes_become_their_product(seen: Tensor) -> None:
    graph = joined(lambda x: x.permute(0, 2, 3, 1).permute(0, 2, 1, 3), seen)
    assert [list(n.args[1]) for n in call_nodes(graph.graph, permute)] == [[0, 3, 2, 1]]


def test_a_permute_that_another_reads_too_stays(seen: Tensor) -> None:
    def function(x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        return y.permute(0, 3, 1, 2).flatten(1) + y.flatten(1)

    assert ops(joined(function, seen)).count("permute") == 1


def test_the_batch_counts_as_large(seen: Tensor) -> None:
    assert "permute" in ops(joined(lambda x: x.mean((2, 3)).permute(1, 0), seen))
