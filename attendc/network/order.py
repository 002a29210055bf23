"""The second step of a layered drawing: the order within rows, with few crossings.

Each row is sorted by the mean position of its neighbours in the row before, from top to bottom and back; the order
with the fewest crossings is kept. Source: the barycenter method of Sugiyama, Tagawa, Toda 1981.
"""

from __future__ import annotations

from bisect import bisect, insort
from itertools import pairwise

from attendc.network.ranks import Rows

__all__ = ["crossings", "ordered"]

_SWEEPS = 24
"""As many as Gansner et al., A Technique for Drawing Directed Graphs, 1993, section 3 take."""


def ordered(rows: Rows) -> list[list[int]]:
    """Return the vertices of each row from left to right; the same rows give the same order."""
    above, below = rows.neighbours()
    layers = rows.layers()
    best, fewest = [list(layer) for layer in layers], crossings(layers, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        _sweep(layers if down else layers[::-1], above if down else below)
        count = crossings(layers, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    return best


def crossings(layers: list[list[int]], below: list[list[int]]) -> int:
    """Return how many pairs of edges between neighbouring rows cross."""
    total = 0
    for upper, lower in pairwise(layers):
        place = {v: i for i, v in enumerate(lower)}
        seen: list[int] = []
        for vertex in upper:
            ends = sorted(place[v] for v in below[vertex])
            total += sum(len(seen) - bisect(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _sweep(layers: list[list[int]], neighbours: list[list[int]]) -> None:
    for fixed, layer in pairwise(layers):
        place = {v: i for i, v in enumerate(fixed)}
        means = {
            v: sum(place[u] for u in neighbours[v]) / len(neighbours[v]) if neighbours[v] else float(i)
            for i, v in enumerate(layer)
        }
        layer.sort(key=means.__getitem__)
