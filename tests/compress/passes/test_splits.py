"""Splits, selections and stacks, spelled out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.splits import spell_out_splits

slices = torch.ops.aten.slice.Tensor


def spans(function: Callable[[Tensor], Tensor], seen: Tensor) -> list[tuple[object, ...]]:
    """Return (dimension, start, end) of each slice that a function of (N, 1, 8, 8) becomes, in order."""
    graph = raw(Call(function))
    spell_out_splits(graph)
    assert distance(tidy(graph), Call(function), seen) == 0
    assert set(ops(graph)) <= {"slice", "cat", "reshape", "view", "add", "unsqueeze", "squeeze"}
    return [n.args[1:] for n in call_nodes(graph.graph, slices)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.split(3, 2)[2] + x.split(3, 2)[0][:, :, :2], [(2, 6, 8), (2, 0, 3), (2, 0, 2)]),
        (lambda x: x.split([3, 5], -1)[1], [(3, 3, 8)]),
        (lambda x: x.chunk(3, 2)[1], [(2, 3, 6)]),  # of 3, 3 and 2
        (lambda x: x.tensor_split(3, 2)[2], [(2, 6, 8)]),  # of 3, 3 and 2 again
        (lambda x: x.select(3, -2), [(3, 6, 7)]),
        (lambda x: x[:, 0, 5], [(1, 5, 6)]),  # the only channel is no slice, and gone then
        (lambda x: x.unbind(2)[7], [(2, 7, 8)]),
        (lambda x: x.narrow(2, 1, 4), [(2, 1, 5)]),
    ],
)
def test_each_part_that_is_read_is_a_slice(
    function: Callable[[Tensor], Tensor], expected: list[tuple[int, int, int]], seen: Tensor
) -> None:
    found = [s for s in spans(function, seen) if s[2] < 9]  # type: ignore[operator] # x[:] goes to the end of all
    assert sorted(found) == sorted(expected)


def test_a_stack_is_a_concatenation_of_reshaped_tensors(seen: Tensor) -> None:
    net = Call(lambda x: torch.stack([x, x + x], -2))
    graph = raw(net)
    assert spell_out_splits(graph).notes == ("spelled out 1 splits, selections and stacks",)
    assert ops(tidy(graph)) == ["add", "reshape", "reshape", "cat"]
    assert distance(graph, net, seen) == 0


def test_a_selection_of_one_image_stays() -> None:
    graph = raw(Call(lambda x: x.flatten(1) + x[0].flatten()))
    assert not spell_out_splits(graph).changed
    assert "select" in ops(tidy(graph))
