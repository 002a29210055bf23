"""What a pass returns: the graph, whether it changed, and what there is to say."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

__all__ = ["Outcome", "outcome"]


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    graph: the graph that was given, edited in place.
    changed: whether anything in it is different now.
    notes: what was done, a sentence each.
    """

    graph: fx.GraphModule
    changed: bool
    notes: tuple[str, ...]


def outcome(graph: fx.GraphModule, *notes: str | None) -> Outcome:
    """Return the outcome of a pass that has a note for everything it did, and None for what it did not do."""
    said = tuple(note for note in notes if note is not None)
    return Outcome(graph, bool(said), said)
