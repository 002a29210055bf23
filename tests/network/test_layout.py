"""Where boxes stand and lines run, on graphs drawn at random and on small ones by hand."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from attendc.network.layout import Box, Layout, lay_out
from attendc.network.order import crossings, ordered
from attendc.network.ranks import rows_of


def overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def at_random(seed: int, count: int = 40) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    """Return sizes and a chain with skips over one to twelve boxes."""
    draw = random.Random(seed)
    edges = {(i, i + 1) for i in range(count - 1) if draw.random() < 0.85}
    edges |= {(i, min(i + draw.randint(1, 12), count - 1)) for i in range(count - 1) if draw.random() < 0.5}
    sizes = [(draw.choice([160.0, 240.0]), draw.choice([38.0, 68.0])) for _ in range(count)]
    return sizes, sorted(e for e in edges if e[0] != e[1])


@pytest.mark.parametrize("seed", range(8))
def test_no_box_covers_another_and_edges_go_down(seed: int) -> None:
    sizes, edges = at_random(seed)
    layout = lay_out(sizes, edges)
    assert not [pair for pair in combinations(layout.boxes, 2) if overlap(*pair)]
    assert all(layout.boxes[s].y + layout.boxes[s].height < layout.boxes[t].y for s, t in edges)
    assert all(
        b.x >= 0 and b.x + b.width <= layout.width + 1e-6 and b.y + b.height <= layout.height for b in layout.boxes
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_line_runs_from_its_box_to_its_box_and_through_no_other(seed: int) -> None:
    sizes, edges = at_random(seed)
    layout = lay_out(sizes, edges)
    for (source, target), line in zip(edges, layout.lines, strict=True):
        start, end = layout.boxes[source], layout.boxes[target]
        assert line[0] == (start.x + start.width / 2, start.y + start.height)
        assert line[-1] == (end.x + end.width / 2, end.y)
        assert not hits(layout, line)


def hits(layout: Layout, line: tuple[tuple[float, float], ...]) -> list[Box]:
    """Return the boxes that a line runs through: it bends between rows alone, where no box stands."""
    found = []
    for (x, y), (to_x, to_y) in pairwise(line):
        left, right = sorted((x, to_x))
        found += [b for b in layout.boxes if b.x < right and left < b.x + b.width and b.y < to_y and y < b.y + b.height]
        if x == to_x:
            found += [b for b in layout.boxes if b.x < x < b.x + b.width and b.y < to_y and y < b.y + b.height]
    return found


def test_the_same_graph_has_the_same_layout() -> None:
    assert lay_out(*at_random(3)) == lay_out(*at_random(3))


def test_a_chain_stands_in_one_column_in_order() -> None:
    layout = lay_out([(160.0, 38.0)] * 4, [(0, 1), (1, 2), (2, 3)])
    assert {b.x for b in layout.boxes} == {0.0}
    assert [b.y for b in layout.boxes] == [n * (38.0 + 26.0) for n in range(4)]  # 26 between rows


def test_a_skip_passes_the_row_that_it_leaves_out() -> None:
    rows = rows_of(3, [(0, 1), (1, 2), (0, 2)])
    assert rows.row == (0, 1, 2, 1)
    assert rows.chains[2] == (0, 3, 2)


def test_a_source_stands_above_what_reads_it() -> None:
    assert rows_of(4, [(0, 1), (1, 2), (3, 2)]).row == (0, 1, 2, 1)


def test_crossed_edges_are_uncrossed() -> None:
    rows = rows_of(6, [(0, 3), (1, 2), (0, 5), (1, 4)])  # rows 0, 1 and 2, 3, 4, 5
    assert crossings(rows.layers(), rows.neighbours()[1]) == 3  # (0,3) with (1,2); (0,5) with (1,2) and (1,4)
    assert crossings(ordered(rows), rows.neighbours()[1]) == 0


def test_nothing_has_a_layout_too() -> None:
    assert lay_out([], []) == Layout((), (), 0.0, 0.0)
