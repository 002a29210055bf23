"""What is written in the box of one layer, and what shows when a mouse rests on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attendc.network.merge import Group
from attendc.network.rows import scale_text
from attendc.network.shapes import written
from attendc.network.types import Node, Tensor
from attendc.report.svg import CHARACTER, shorten

__all__ = ["FONT", "LINE", "PADDING", "STRIPE", "card_lines", "card_size", "card_title", "is_integer"]

FONT, LINE, PADDING, STRIPE = 12, 15.0, 8.0, 5.0
_MOST, _STEP, _NARROWEST = 48, 40.0, 160.0
_BOLD = 1.12
"""How much wider bold letters, most of them capitals, are."""


def is_integer(tensor: Tensor | None) -> bool:
    """Return whether a tensor holds integers."""
    return tensor is not None and tensor.dtype.lstrip("q").startswith(("int", "uint"))


def card_lines(group: Group) -> list[tuple[str, str]]:
    """Return (text, class of the style sheet) of each line."""
    node, out = group.main, group.last.outputs
    lines = [(_joined([node.op, node.detail]), "op"), *((_tensor(t), "") for t in out[:1])]
    if len(out) > 1:
        lines.append((f"and {len(out) - 1} more outputs", "soft"))
    if node.weights:
        lines.append((f"weight {_tensor(node.weights[0])}", "soft"))
        cost = ["MACs unknown" if node.macs is None else f"{node.macs:,} MACs" if node.macs else ""]
        lines.append((_joined([*cost, f"{sum(t.bytes or 0 for t in node.weights):,} bytes"]), "soft"))
    elif node.macs:
        lines.append((f"{node.macs:,} MACs", "soft"))
    lines += [(f"{word} {_counted(nodes)}", "soft") for word, nodes in _moves(group) if nodes]
    return [(shorten(text, _MOST), kind) for text, kind in lines]


def card_size(lines: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return (width, height); widths come in steps, so that boxes in a column have the same."""
    longest = max(len(text) * (_BOLD if kind == "op" else 1.0) for text, kind in lines)
    steps = -(-(longest * FONT * CHARACTER + 2 * PADDING + STRIPE) // _STEP)
    return max(steps * _STEP, _NARROWEST), len(lines) * LINE + PADDING


def card_title(group: Group) -> str:
    """Return everything that is known of the layer, a fact a line."""
    node = group.main
    facts = [
        node.name,
        f"in {node.module}" if node.module else "",
        *(f"writes {t.name}: {_tensor(t)}" for t in group.last.outputs),
        *(f"reads {t.name}: {_tensor(t)}, {t.bytes:,} bytes" for t in node.weights),
        *(f"{word} {_counted(nodes)}" for word, nodes in _moves(group) if nodes),
    ]
    return "\n".join(f for f in facts if f)


def _moves(group: Group) -> tuple[tuple[str, Sequence[Node]], ...]:
    return (("after", group.before), ("then", group.after))


def _counted(nodes: Sequence[Node]) -> str:
    counts = Counter(n.op for n in nodes)
    return ", ".join(op if count == 1 else f"{count} {op}" for op, count in counts.items())


def _tensor(tensor: Tensor) -> str:
    return _joined([f"{written(tensor.shape)} {tensor.dtype}".strip(), scale_text(tensor.quantization)])


def _joined(texts: Sequence[str]) -> str:
    return " \N{MIDDLE DOT} ".join(t for t in texts if t)
