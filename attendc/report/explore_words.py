"""How the page of an exploration writes designs: choices and parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["choice_words", "parts_of"]


def choice_words(choice: Any) -> str:
    """Return a choice as a page writes it: yes and no, 28x32 for height and width, other lists with spaces."""
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    if isinstance(choice, list | tuple):
        return ("x" if len(choice) == 2 else " ").join(map(str, choice))
    return str(choice)


def parts_of(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Return dimension -> choice of a design; widths and depths have one for each stage."""
    parts = dict(candidate)
    for many, one in (("widths", "width"), ("depths", "depth")):
        parts |= {f"{one}{stage}": value for stage, value in enumerate(parts.pop(many, ()), 1)}
    if "input_size" in parts:
        height, width = parts.pop("input_size")
        parts["resolution"] = height if height == width else (height, width)
    return parts
