"""Spell out what repeats or moves parts of a tensor: slices put together again.

Rules:
1. roll(x, n) along a dimension is x[-n:] followed by x[:-n].
2. A circular pad is x[-left:], x, x[:right]; a replicating one repeats the first and the last slice.
3. A reflecting pad of an image stays, as LiteRT has MIRROR_PAD. Of other tensors it is a flipped slice on each side.
4. repeat and tile along dimensions that the tensor has is a concatenation with itself.

LiteRT has no int8 kernel for rolls and circular pads, litert-torch gathers the pixels of replicating ones, and
transposes images around both.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["spell_out_rolls"]

aten = torch.ops.aten


def spell_out_rolls(gm: fx.GraphModule) -> Outcome:
    """Replace rolls (1), pads (2, 3) and repeats (4)."""
    counts = {"rolls": 0, "pads": 0, "repeats": 0}
    for node in call_nodes(gm.graph, aten.roll.default):
        counts["rolls"] += _spell_roll(gm, node)
    for node in call_nodes(gm.graph, aten.pad.default):
        counts["pads"] += _spell_pad(gm, node)
    for node in call_nodes(gm.graph, aten.repeat.default, aten.tile.default):
        counts["repeats"] += _spell_repeat(gm, node)
    return outcome(gm, *(f"spelled out {count} {name}" if count else None for name, count in counts.items()))


def _spell_roll(gm: fx.GraphModule, node: fx.Node) -> bool:
    x, shifts, *rest = node.args
    assert isinstance(x, fx.Node)
    dims = cast("list[int]", rest[0] if rest else [])
    sizes = [x.meta["val"].shape[dim] for dim in dims]
    if not dims or not all(isinstance(size, int) for size in sizes):
        return False
    y = x
    for dim, size, shift in zip(dims, sizes, cast("list[int]", shifts), strict=True):
        if shift % size:
            start = size - shift % size
            y = _joined(gm, node, [_part(gm, node, y, dim, start, size), _part(gm, node, y, dim, 0, start)], dim)
    replace_node(gm, node, y)
    return True


def _spell_pad(gm: fx.GraphModule, node: fx.Node) -> bool:
    x, widths, *rest = node.args
    assert isinstance(x, fx.Node)
    mode = rest[0] if rest else node.kwargs.get("mode", "constant")
    rank = x.meta["val"].ndim
    if mode not in _SIDES or (mode == "reflect" and rank == 4):
        return False
    pairs = cast("list[int]", widths)
    y = x
    for index in range(len(pairs) // 2):
        left, right = pairs[2 * index : 2 * index + 2]
        y = _joined(gm, node, _SIDES[mode](gm, node, y, rank - 1 - index, left, right), rank - 1 - index)
    replace_node(gm, node, y)
    return True


def _circular(gm: fx.GraphModule, node: fx.Node, x: fx.Node, dim: int, left: int, right: int) -> list[fx.Node]:
    size = int(x.meta["val"].shape[dim])
    before = [_part(gm, node, x, dim, size - left, size)] if left else []
    return [*before, x, *([_part(gm, node, x, dim, 0, right)] if right else [])]


def _replicated(gm: fx.GraphModule, node: fx.Node, x: fx.Node, dim: int, left: int, right: int) -> list[fx.Node]:
    size = int(x.meta["val"].shape[dim])
    first = [_part(gm, node, x, dim, 0, 1)] * left if left else []
    return [*first, x, *([_part(gm, node, x, dim, size - 1, size)] * right if right else [])]


def _reflected(gm: fx.GraphModule, node: fx.Node, x: fx.Node, dim: int, left: int, right: int) -> list[fx.Node]:
    size = int(x.meta["val"].shape[dim])

    def flipped(start: int, end: int) -> fx.Node:
        return insert_call(gm, node, aten.flip.default, (_part(gm, node, x, dim, start, end), [dim]), node)

    before = [flipped(1, left + 1)] if left else []
    return [*before, x, *([flipped(size - 1 - right, size - 1)] if right else [])]


_SIDES: dict[Any, Any] = {"circular": _circular, "replicate": _replicated, "reflect": _reflected}


def _spell_repeat(gm: fx.GraphModule, node: fx.Node) -> bool:
    x, counts = node.args
    assert isinstance(x, fx.Node)
    given = cast("list[Any]", counts)
    times = [1] * (x.meta["val"].ndim - len(given)) + given  # tile names the last ones only
    if len(times) != x.meta["val"].ndim or not all(isinstance(count, int) for count in times):
        return False
    y = x
    for dim, count in enumerate(times):
        y = _joined(gm, node, [y] * count, dim)
    replace_node(gm, node, y)
    return True


def _part(gm: fx.GraphModule, node: fx.Node, x: fx.Node, dim: int, start: int, end: int) -> fx.Node:
    return insert_call(gm, node, aten.slice.Tensor, (x, dim, start, end), node)


def _joined(gm: fx.GraphModule, node: fx.Node, parts: list[fx.Node], dim: int) -> fx.Node:
    return parts[0] if len(parts) == 1 else insert_call(gm, node, aten.cat.default, (parts, dim), node)
