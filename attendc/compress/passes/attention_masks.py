"""Bound the masks of attention, which would take all 256 steps of an int8 scale for themselves.

A mask adds 0 where a position may be seen, and -100 or -inf where not. In int8 the steps of the sum would be wider than
the differences between scores. What is not to be seen only needs to stay below what the softmax can tell from 0.

Rule: a constant that is added to the input of a softmax, however it is reshaped or spread on the way, is no lower than
`LOWEST`. exp(-16) is 1e-7; LiteRT's softmax rounds to steps of 1/256, so a masked score may exceed the others of its
row by 10 before it is seen.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, is_constant
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["LOWEST", "bound_masks"]

aten = torch.ops.aten
LOWEST = -16.0
_SUMMED = (
    aten.add.Tensor,
    aten.reshape.default,
    aten.view.default,
    aten.expand.default,
    aten.permute.default,
    aten.slice.Tensor,
)
"""Through these, what is added to a part of the scores is still added."""


def bound_masks(gm: fx.GraphModule) -> Outcome:
    """Replace the masks that go lower."""
    terms: list[fx.Node] = []
    for softmax in call_nodes(gm.graph, aten.softmax.int, aten._softmax.default):
        terms += [n for n in _terms(softmax) if n not in terms]
    bounded = 0
    for mask in {source: None for node in terms for source in node.all_input_nodes if is_constant(source)}:
        value = constant(gm, mask).detach()
        if not value.is_floating_point() or float(value.min()) >= LOWEST:
            continue
        readers = [user for user in mask.users if user in terms]
        new = add_constant(gm, f"{mask.name}_bounded", value.clamp(min=LOWEST), mask)
        for reader in readers:
            reader.replace_input_with(mask, new)
        bounded += 1
    return outcome(gm, f"{bounded} masks of attention go no lower than {LOWEST:g}" if bounded else None)


def _terms(softmax: fx.Node) -> list[fx.Node]:
    """Return the sums before a softmax and what leads to them."""
    found, left = [], [softmax.all_input_nodes[0]]
    while left:
        node = left.pop()
        if node.target in _SUMMED and node not in found:
            found.append(node)
            left += node.all_input_nodes
    return found
