"""A document as values that remember where they were written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from attendc.reader.faults import Fault, Place, show

__all__ = ["BAD", "Bad", "Content", "Node", "Scalar", "fault", "is_sound", "mapping", "plain"]


class Bad(Enum):
    """The type of BAD."""

    BAD = "bad"


BAD = Bad.BAD
"""Stands where a fault was told already, so that nothing more is said about the value."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Node:
    """A value and its place; a list or mapping below a key has the place of the key."""

    value: Content
    place: Place


Content = Scalar | Bad | tuple[Node, ...] | dict[str, Node]


def mapping(node: Node | None) -> dict[str, Node]:
    """Return what a mapping holds; nothing where there is none or something else."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def plain(node: Node) -> Any:
    """Return the value as JSON-able data; BAD is null."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return None if node.value is BAD else node.value


def is_sound(node: Node) -> bool:
    """Return whether nothing in it is BAD."""
    if isinstance(node.value, dict):
        return all(map(is_sound, node.value.values()))
    if isinstance(node.value, tuple):
        return all(map(is_sound, node.value))
    return node.value is not BAD


def fault(node: Node, path: str, message: str, suggestion: str = "") -> Fault:
    """Return the fault of a value: at its place, with the value."""
    value = "" if node.value is BAD else show(plain(node))
    return Fault(node.place.file, node.place.line, path, value, message, suggestion)
