"""Expands go, and operands have as many dimensions as what they meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.broadcasts import spell_out_broadcasts

aten = torch.ops.aten
ROW = torch.linspace(-1, 1, 8)
COLUMN = ROW.view(1, 8, 1)


@pytest.mark.parametrize(
    ("function", "operators"),
    [
        (lambda x: x + x[:, :, :1].expand(-1, -1, 8, -1), ["add"]),
        (lambda x: x[:, :, :1].expand(-1, -1, 8, -1), ["cat"]),
        (lambda x: torch.relu(x[:, :, :1, :1].expand(-1, 3, 8, -1)), ["cat", "cat", "relu"]),
    ],
)
def test_an_expand_goes_or_is_a_concatenation(
    function: Callable[[Tensor], Tensor], operators: list[str], seen: Tensor
) -> None:
    graph = raw(Call(function))
    assert spell_out_broadcasts(graph).notes == ("spelled out 1 expands",)
    assert [o for o in ops(tidy(graph)) if o != "slice"] == operators
    assert distance(graph, Call(function), seen) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([ROW.view(1, 1, 1, 8).expand(x.shape[0], -1, -1, -1), x], 2),  # a class token
        lambda x: x[:, :, :1].expand(-1, -1, 65, -1),  # one more than is copied
    ],
)
def test_expands_over_the_batch_and_many_copies_stay(function: Callable[[Tensor], Tensor]) -> None:
    graph = raw(Call(function))
    assert not spell_out_broadcasts(graph).changed
    assert len(call_nodes(graph.graph, aten.expand.default)) == 1


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: x + ROW, [(1, 1, 1, 8)]),
        (lambda x: x * COLUMN, [(1, 1, 8, 1)]),
        (lambda x: x + 1.0, []),
    ],
)
def test_a_constant_gets_dimensions_in_front(
    function: Callable[[Tensor], Tensor], shapes: list[tuple[int, ...]], seen: Tensor
) -> None:
    graph = raw(Call(function))
    assert spell_out_broadcasts(graph).changed == bool(shapes)
    assert [b.shape for b in tidy(graph).buffers()] == shapes
    assert distance(graph, Call(function), seen) == 0
