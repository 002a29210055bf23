"""Spell out what takes tensors apart and puts them together: slices, reshapes and one concatenation.

LiteRT has SPLIT and UNPACK in int8 too; what it makes of slices costs the same copies, and every converter knows them.

Rules:
1. Each part of split, chunk and tensor_split is a slice.
2. Each part of unbind, and a select, is a slice of one, reshaped to be without that dimension.
3. stack is a concatenation of reshaped tensors.
4. A part that is all of its tensor is no slice.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from attendc.compress.graph import call_nodes, free_shape, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_splits"]

aten = torch.ops.aten

_SPLITS = (
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.chunk.default,
    aten.tensor_split.sections,
    aten.tensor_split.indices,
)


def spell_out_splits(gm: fx.GraphModule) -> Outcome:
    """Replace what rules 1 to 3 name, unless it divides the batch."""
    done = 0
    for node in call_nodes(gm.graph, *_SPLITS):
        done += _spell_parts(gm, node, _dim(node, 2), removed=False)
    for node in call_nodes(gm.graph, aten.unbind.int):
        done += _spell_parts(gm, node, _dim(node, 1), removed=True)
    for node in call_nodes(gm.graph, aten.select.int):
        done += _spell_select(gm, node)
    for node in call_nodes(gm.graph, aten.stack.default):
        done += _spell_stack(gm, node)
    return outcome(gm, f"spelled out {done} splits, selections and stacks" if done else None)


def _dim(node: fx.Node, position: int) -> int:
    """Return the dimension that is split, argument `position`, 0 if it is not given."""
    given: Any = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    return int(given % node.all_input_nodes[0].meta["val"].ndim)


def _spell_parts(gm: fx.GraphModule, node: fx.Node, dim: int, *, removed: bool) -> bool:
    """Replace the parts of a split, or of an unbind, which has the dimension removed."""
    parts = [user for user in node.users if user.target is operator.getitem]
    sizes = [1 if removed else part.shape[dim] for part in node.meta["val"]]
    if len(parts) < len(node.users) or not all(isinstance(size, int) for size in sizes):
        return False
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    for part in parts:
        index = int(part.args[1])  # type: ignore[arg-type]
        _replace_part(gm, part, node.all_input_nodes[0], (dim, starts[index], starts[index] + sizes[index]))
    gm.graph.erase_node(node)
    return True


def _spell_select(gm: fx.GraphModule, node: fx.Node) -> bool:
    source, _, index = node.args
    assert isinstance(source, fx.Node)
    dim = _dim(node, 1)
    size = source.meta["val"].shape[dim]
    if not isinstance(index, int) or not isinstance(size, int):
        return False
    _replace_part(gm, node, source, (dim, index % size, index % size + 1))
    return True


def _replace_part(gm: fx.GraphModule, part: fx.Node, source: fx.Node, span: tuple[int, int, int]) -> None:
    """Let the users of `part` read source[start:end] along a dimension, in the shape that `part` has."""
    dim, start, end = span
    taken = source
    if (start, end) != (0, source.meta["val"].shape[dim]):  # 4
        taken = insert_call(gm, part, aten.slice.Tensor, (source, dim, start, end), part)
    if taken.meta["val"].ndim != part.meta["val"].ndim:
        shape = free_shape(part)
        assert shape is not None, "only the batch is free"
        taken = insert_call(gm, part, aten.reshape.default, (taken, shape), part)
    replace_node(gm, part, taken)


def _spell_stack(gm: fx.GraphModule, node: fx.Node) -> bool:
    tensors: Any = node.args[0]
    shape = free_shape(node)
    if shape is None:
        return False
    given: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    dim = given % len(shape)
    shape[dim] = 1
    parts = [insert_call(gm, node, aten.reshape.default, (one, shape), node) for one in tensors]
    replace_node(gm, node, insert_call(gm, node, aten.cat.default, (parts, dim), node))
    return True
