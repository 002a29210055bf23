"""Sizes that depend on the batch, in graphs that torch.jit traces.

A trace follows the sizes that it reads by `x.size(0)` and hands to methods of tensors. Sizes that an operator of
torch.ops reads are plain numbers to it, and so the batch of the trace would stand in the file: a class token would be
laid before two images, and no other number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn

__all__ = ["follow_sizes"]

aten = torch.ops.aten

_FOLLOWED: Mapping[object, Callable[..., Any]] = {
    aten.expand.default: torch.Tensor.expand,
    aten.repeat.default: torch.Tensor.repeat,
    aten.reshape.default: torch.Tensor.reshape,
    aten.view.default: torch.Tensor.reshape,
    aten.full.default: torch.full,
    aten.ones.default: torch.ones,
    aten.zeros.default: torch.zeros,
}
"""Operator that takes sizes -> the same as a trace follows it."""


def follow_sizes(gm: nn.Module) -> nn.Module:
    """Rewrite, in place, what reads a size from a tensor and what takes such a size, and return the graph."""
    assert isinstance(gm, fx.GraphModule)
    for node in gm.graph.find_nodes(op="call_function", target=aten.sym_size.int):
        node.target = torch.Tensor.size
    for node in gm.graph.nodes:
        sizes = node.args[-1] if node.args else None
        if node.target in _FOLLOWED and isinstance(sizes, (list, tuple)) and any(isinstance(s, fx.Node) for s in sizes):
            node.target = _FOLLOWED[node.target]
    gm.recompile()
    return gm
