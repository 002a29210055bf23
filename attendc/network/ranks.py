"""The first step of a layered drawing: which row each box stands in, and where lines pass through rows.

Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures, IEEE Transactions
on Systems, Man and Cybernetics 11(2), 1981: rows, then an order within rows, then coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

__all__ = ["Rows", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """A graph whose edges all go from one row to the next.

    Attributes:
        row: of each vertex. The first ones are the boxes; after them come the points where long edges pass a row.
        boxes: how many vertices are boxes.
        chains: of each edge that was given the vertices that it runs through, from source to target.
    """

    row: tuple[int, ...]
    boxes: int
    chains: tuple[tuple[int, ...], ...]

    def layers(self) -> list[list[int]]:
        """Return the vertices of each row."""
        found: list[list[int]] = [[] for _ in range(max(self.row, default=-1) + 1)]
        for vertex, row in enumerate(self.row):
            found[row].append(vertex)
        return found

    def neighbours(self) -> tuple[list[list[int]], list[list[int]]]:
        """Return the vertices above and those below each vertex."""
        above: list[list[int]] = [[] for _ in self.row]
        below: list[list[int]] = [[] for _ in self.row]
        for chain in self.chains:
            for upper, lower in pairwise(chain):
                above[lower].append(upper)
                below[upper].append(lower)
        return above, below


def rows_of(count: int, edges: Sequence[tuple[int, int]]) -> Rows:
    """Put `count` boxes into rows, so that edges go down: each as high as it can be.

    A box with fewer edges from above than to below stands as low as it can: that makes its lines shorter.
    """
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    order = list(TopologicalSorter({v: above[v] for v in range(count)}).static_order())
    row = [0] * count
    for vertex in order:
        row[vertex] = max((row[u] + 1 for u in above[vertex]), default=0)
    for vertex in reversed(order):
        if len(above[vertex]) < len(below[vertex]):
            row[vertex] = min(row[v] for v in below[vertex]) - 1
    return _with_passages(row, edges)


def _with_passages(row: list[int], edges: Sequence[tuple[int, int]]) -> Rows:
    rows, chains = list(row), []
    for source, target in edges:
        passed = range(row[source] + 1, row[target])
        chains.append((source, *range(len(rows), len(rows) + len(passed)), target))
        rows.extend(passed)
    return Rows(tuple(rows), len(row), tuple(chains))
