"""A network as a drawing: a box for each layer, a line for each tensor, colours by kind of work.

The same network gives the same bytes. Boxes that write integers are filled, those that write floats are dashed
outlines. Operators that only move numbers are written into the box of the layer that they belong to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

from attendc.network.card import FONT, LINE, PADDING, STRIPE, card_lines, card_size, card_title, is_integer
from attendc.network.families import KINDS, family
from attendc.network.layout import Box, lay_out
from attendc.network.merge import Group, merged
from attendc.network.rows import totals
from attendc.network.types import Edge, Network
from attendc.report.svg import CHARACTER, Drawing

__all__ = ["draw_network"]

_MARGIN, _TITLE, _SWATCH, _LEGEND_ROW, _LEAST_WIDTH = 20.0, 62.0, 13.0, 20.0, 560.0
_TIP = ((-3.5, -7.0), (3.5, -7.0))
Lines = list[tuple[str, str]]


def draw_network(network: Network, title: str) -> str:
    """Return the text of an .svg file, light or dark as the one who looks at it prefers."""
    groups, edges = merged(network)
    texts = [card_lines(group) for group in groups]
    number = {group.main.name: n for n, group in enumerate(groups)}
    layout = lay_out([card_size(lines) for lines in texts], [(number[e.source], number[e.target]) for e in edges])
    inner = max(layout.width, _LEAST_WIDTH)
    legend = _legend(groups, inner)
    top = _TITLE + _MARGIN + _LEGEND_ROW * (1 + legend[-1][1])
    drawing = Drawing(inner + 2 * _MARGIN, top + layout.height + _MARGIN, f"{title}: the network", kind="network")
    _head(drawing, network, title, legend)
    shift = (_MARGIN + (inner - layout.width) / 2, top)
    for line, edge in zip(layout.lines, edges, strict=True):
        _wire(drawing, [(x + shift[0], y + shift[1]) for x, y in line], _wire_kind(network, edge))
    for group, box, lines in zip(groups, layout.boxes, texts, strict=True):
        _card(drawing, group, (box.x + shift[0], box.y + shift[1]), box, lines)
    return str(drawing.page(_style()))


def _style() -> str:
    return (files("attendc.report") / "templates" / "network.css").read_text(encoding="utf-8").replace("\n", "")


def _legend(groups: Sequence[Group], width: float) -> list[tuple[float, int, str, str]]:
    """Return (x, row, class, words) of each entry: the kinds that are drawn, and what filled and dashed mean."""
    present = {family(g.main.op) for g in groups}
    entries = [(f"f{n} bar", kind) for n, kind in enumerate(KINDS) if kind in present]
    entries += [("card f9 integer", "writes integers"), ("card f9 float", "writes floats")]
    found, x, row = [], 0.0, 0
    for kind, words in entries:
        needed = _SWATCH + 6 + len(words) * FONT * CHARACTER + 18
        if x + needed > width:
            x, row = 0.0, row + 1
        found.append((x, row, kind, words))
        x += needed
    return found


def _head(drawing: Drawing, network: Network, title: str, legend: list[tuple[float, int, str, str]]) -> None:
    drawing.text((_MARGIN, _MARGIN + 14), title, kind="title")
    drawing.text((_MARGIN, _MARGIN + 34), _summary(network), kind="soft")
    for x, row, kind, words in legend:
        y = _TITLE + row * _LEGEND_ROW
        drawing.card((_MARGIN + x, y), (_SWATCH, _SWATCH), kind, words)
        drawing.text((_MARGIN + x + _SWATCH + 6, y + 11), words, kind="soft")


def _summary(network: Network) -> str:
    sums = totals(network)
    dtypes = Counter(n.outputs[0].dtype or "unknown" for n in network.layers if n.outputs)
    macs = "MACs unknown" if sums["macs"] is None else f"{sums['macs']:,} MACs for one image"
    counted = ", ".join(f"{count} {dtype}" for dtype, count in sorted(dtypes.items()))
    return f"{sums['layers']} layers ({counted}), {macs}, {sums['constant_bytes']:,} bytes of constants"


def _wire_kind(network: Network, edge: Edge) -> str:
    written = {t.name: t for node in network.nodes for t in node.outputs}
    return "wire" if is_integer(written.get(edge.tensor)) else "wire float"


def _wire(drawing: Drawing, points: list[tuple[float, float]], kind: str) -> None:
    drawing.wire(points, kind)
    x, y = points[-1]
    drawing.path([(x, y), *((x + dx, y + dy) for dx, dy in _TIP)], "tip", closed=True)


def _card(drawing: Drawing, group: Group, corner: tuple[float, float], box: Box, lines: Lines) -> None:
    colour = f"f{KINDS.index(family(group.main.op))}"
    numbers = "integer" if is_integer(next(iter(group.last.outputs), None)) else "float"
    drawing.card(corner, (box.width, box.height), f"card {colour} {numbers}", card_title(group))
    drawing.box(corner, (STRIPE, box.height), f"bar {colour}")
    for n, (text, kind) in enumerate(lines, 1):
        drawing.text((corner[0] + STRIPE + PADDING, corner[1] + n * LINE), text, kind=kind)
