"""The third step of a layered drawing: where in its row each vertex stands, so that long lines run straight.

Source: Brandes and Koepf, Fast and Simple Horizontal Coordinate Assignment, Graph Drawing 2001. Each vertex is put
in line with a median neighbour, from above and from below, to the left and to the right; of the four drawings the
mean of the two middle ones is taken. The blocks in line are packed by longest paths, which leaves out the classes of
the paper's algorithm 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

__all__ = ["coordinates"]

Layers = list[list[int]]
Pair = tuple[int, int]


def coordinates(
    layers: Layers, neighbours: tuple[Layers, Layers], widths: Sequence[float], boxes: int, gap: float
) -> list[float]:
    """Return the middle of each vertex, the leftmost side at 0; vertices of a row are at least `gap` apart.

    Args:
        layers: vertices of each row from left to right.
        neighbours: of each vertex those above and those below.
        widths: of each vertex.
        boxes: vertices from this number on are points on long lines.
        gap: least distance of two sides.
    """
    above, below = neighbours
    crossing = _conflicts(layers, above, boxes)
    drawings = []
    for turned in (False, True):
        for mirrored in (False, True):
            rows = [layer[::-1] if mirrored else layer for layer in (layers[::-1] if turned else layers)]
            root = _aligned(rows, below if turned else above, crossing)
            x = _packed(rows, root, widths, gap)
            drawings.append([-v for v in x] if mirrored else x)
    return _mean(drawings, widths)


def _conflicts(layers: Layers, above: Layers, boxes: int) -> set[Pair]:
    """Return the segments that cross a segment of a long line between two rows: those do not get in line."""
    found: set[Pair] = set()
    for upper, lower in pairwise(layers):
        place = {v: i for i, v in enumerate(upper)}
        inner = [(place[u], i, v) for i, v in enumerate(lower) for u in above[v] if v >= boxes and u >= boxes]
        for j, vertex in enumerate(lower):
            for u in above[vertex]:
                if u >= boxes and vertex >= boxes:
                    continue
                if any((place[u] - k) * (j - i) < 0 for k, i, _ in inner):
                    found |= {(u, vertex), (vertex, u)}
    return found


def _aligned(layers: Layers, neighbours: Layers, crossing: set[Pair]) -> list[int]:
    """Return of each vertex the first vertex of the block that stands in one line with it."""
    count = sum(map(len, layers))
    root = list(range(count))
    for fixed, layer in pairwise(layers):
        place = {v: i for i, v in enumerate(fixed)}
        last = -1
        for vertex in layer:
            near = sorted(set(neighbours[vertex]), key=place.__getitem__)
            middle = {(len(near) - 1) // 2, len(near) // 2} if near else set()
            for position in sorted(middle):
                other = near[position]
                if root[vertex] == vertex and (other, vertex) not in crossing and last < place[other]:
                    root[vertex], last = root[other], place[other]
    return root


def _packed(layers: Layers, root: list[int], widths: Sequence[float], gap: float) -> list[float]:
    """Return the middle of each vertex: every block as far left as those beside it allow, then towards the right."""
    before: dict[int, dict[int, float]] = {r: {} for r in set(root)}
    after: dict[int, dict[int, float]] = {r: {} for r in set(root)}
    for layer in layers:
        for left, right in pairwise(layer):
            apart = (widths[left] + widths[right]) / 2 + gap
            a, b = root[left], root[right]
            before[b][a] = after[a][b] = max(before[b].get(a, 0.0), apart)
    order = list(TopologicalSorter(before).static_order())
    x = dict.fromkeys(order, 0.0)
    for block in order:
        x[block] = max((x[other] + apart for other, apart in before[block].items()), default=0.0)
    for block in reversed(order):
        x[block] = max(x[block], min((x[o] - apart for o, apart in after[block].items()), default=x[block]))
    return [x[r] for r in root]


def _mean(drawings: list[list[float]], widths: Sequence[float]) -> list[float]:
    """Shift the drawings onto the narrowest, those to the left by their left side; take the mean of the middle two."""
    sides = [
        (min(x - w / 2 for x, w in zip(d, widths, strict=True)), max(x + w / 2 for x, w in zip(d, widths, strict=True)))
        for d in drawings
    ]
    left, right = min(sides, key=lambda s: s[1] - s[0])
    shifts = [right - high if n % 2 else left - low for n, (low, high) in enumerate(sides)]
    shifted = [[x + s for x in d] for d, s in zip(drawings, shifts, strict=True)]
    middle = [sum(sorted(values)[1:3]) / 2 for values in zip(*shifted, strict=True)]
    start = min(x - w / 2 for x, w in zip(middle, widths, strict=True))
    return [x - start for x in middle]
