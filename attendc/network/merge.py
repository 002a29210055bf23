"""Fewer boxes in a drawing: operators that only move or clip numbers are drawn with the layer that they belong to.

1. What alone reads a layer belongs to it, if it reads nothing else.
2. Else, what only one layer reads belongs to that.
3. A ReLU, whatever its bounds, that alone reads a convolution, a matrix product or arithmetic belongs to it: runtimes
   compute both at once, and between them there are no integers.
4. What reads several tensors (a concatenation) is drawn by itself, and so is what no rule places.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from attendc.network.families import MOVES, family, is_clip
from attendc.network.types import INPUT, OUTPUT, Edge, Network, Node

__all__ = ["Group", "merged"]

_CLIPPED = ("convolution", "matrix product", "arithmetic")


@dataclass(frozen=True)
class Group:
    """What is drawn as one box: a layer, and what moves its numbers before and after."""

    main: Node
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()

    @property
    def last(self) -> Node:
        """Return the node whose outputs leave the box."""
        return self.after[-1] if self.after else self.main


def merged(network: Network) -> tuple[tuple[Group, ...], tuple[Edge, ...]]:
    """Return the boxes in order and the edges between them, by the names of their main nodes."""
    by_name = {n.name: n for n in network.nodes}
    owner = _owners(network, by_name)
    members: dict[str, list[Node]] = defaultdict(list)
    for node in network.nodes:
        members[_final(owner, node.name)].append(node)
    groups = tuple(_group(nodes, by_name[name]) for name, nodes in members.items())
    edges = [Edge(_final(owner, e.source), _final(owner, e.target), e.tensor) for e in network.edges]
    return groups, tuple(dict.fromkeys(e for e in edges if e.source != e.target))


def _owners(network: Network, by_name: dict[str, Node]) -> dict[str, str]:
    """Return node that moves numbers -> the node with which it is drawn."""
    into: dict[str, list[Edge]] = defaultdict(list)
    out: dict[str, list[Edge]] = defaultdict(list)
    for edge in network.edges:
        into[edge.target].append(edge)
        out[edge.source].append(edge)
    owner: dict[str, str] = {}
    for node in network.nodes:
        if len(into[node.name]) != 1:  # rule 4
            continue
        source, targets = into[node.name][0].source, out[node.name]
        if is_clip(node.op) and family(by_name[source].op) in _CLIPPED and len(out[source]) == 1:  # rule 3
            owner[node.name] = source
        if family(node.op) != MOVES:
            continue
        belongs_here = owner.get(source) == node.name  # by rule 2, so this one cannot belong to it
        if by_name[source].op != INPUT and len(out[source]) == 1 and not belongs_here:  # rule 1
            owner[node.name] = source
        elif len(targets) == 1 and by_name[targets[0].target].op != OUTPUT:  # rule 2
            owner[node.name] = targets[0].target
    return owner


def _final(owner: dict[str, str], name: str) -> str:
    while name in owner:
        name = owner[name]
    return name


def _group(nodes: list[Node], main: Node) -> Group:
    place = nodes.index(main)
    return Group(main, tuple(nodes[:place]), tuple(nodes[place + 1 :]))
