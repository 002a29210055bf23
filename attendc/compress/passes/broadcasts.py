"""Say in full which dimensions are spread over others, or leave it to the operators that do it themselves.

Rules:
1. An expand goes where all that read it are sums and products with a tensor of the full size.
2. Else it is a concatenation of a tensor with itself, up to `MOST_COPIES` times, along each dimension but the batch:
   LiteRT refuses what litert-torch makes of it for an image.
3. What an operator spreads over more dimensions than it has is reshaped to have as many: litert-torch, which
   transposes images, would else add columns to channels.
4. A constant that is expanded over the batch stays: a TFLite file takes one image, and nothing is left of it there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, free_shape, insert_call, is_constant, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["MOST_COPIES", "spell_out_broadcasts"]

aten = torch.ops.aten
MOST_COPIES = 64
_SPREADING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default)


def spell_out_broadcasts(gm: fx.GraphModule) -> Outcome:
    """Replace expands (1, 2) and give operands equal ranks (3)."""
    expands = sum([_spell_expand(gm, node) for node in call_nodes(gm.graph, aten.expand.default)])
    operands = sum([_equal_ranks(gm, node) for node in call_nodes(gm.graph, *_SPREADING)])
    return outcome(
        gm,
        f"spelled out {expands} expands" if expands else None,
        f"gave {operands} operands as many dimensions as what they meet" if operands else None,
    )


def _spell_expand(gm: fx.GraphModule, node: fx.Node) -> bool:
    x = node.all_input_nodes[0]
    if all(_spreads(reader, node) for reader in node.users):
        replace_node(gm, node, x)  # 1
        return True
    before, after = x.meta["val"].shape, node.meta["val"].shape
    if len(before) != len(after):
        return False
    copies: list[Any] = [1 if str(a) == str(b) else b for a, b in zip(before, after, strict=True)]
    if not all(isinstance(count, int) and count <= MOST_COPIES for count in copies):
        return False
    y = x
    for dim, count in enumerate(copies):
        if count > 1:
            y = insert_call(gm, node, aten.cat.default, ([y] * count, dim), node)
    replace_node(gm, node, y)  # 2
    return True


def _spreads(reader: fx.Node, node: fx.Node) -> bool:
    """Return whether an operator has the size of its output from another operand than `node`."""
    if reader.target not in _SPREADING:
        return False
    full = [str(size) for size in reader.meta["val"].shape]
    others = [source for source in reader.all_input_nodes if source is not node]
    return any([str(size) for size in source.meta["val"].shape] == full for source in others)


def _equal_ranks(gm: fx.GraphModule, node: fx.Node) -> int:
    """Return how many operands were reshaped; numbers and what has no dimension are left to other passes."""
    rank, done = node.meta["val"].ndim, 0
    for source in node.all_input_nodes:
        value = source.meta["val"]
        shape = free_shape(source)
        if not 0 < value.ndim < rank or shape is None:
            continue
        full = [1] * (rank - value.ndim) + shape
        if is_constant(source):
            tensor = constant(gm, source)
            trained = isinstance(tensor, torch.nn.Parameter)
            spread = add_constant(gm, f"{node.name}_operand", tensor.detach().reshape(full), node, trained=trained)
        else:
            spread = insert_call(gm, node, aten.reshape.default, (source, full), node)
        node.replace_input_with(source, spread)
        done += 1
    return done
