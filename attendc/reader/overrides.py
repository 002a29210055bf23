"""What `--set PATH=VALUE` changes in a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attendc.reader.faults import Fault, Place, closest, join
from attendc.reader.merge import Document, long_forms
from attendc.reader.nodes import BAD, Node, mapping
from attendc.reader.parse import DEEPEST, parse_flow

__all__ = ["apply_sets", "names_set"]

_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")
_PATH = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[[0-9]{1,6}\])*")
_SHAPE = "must be PATH=VALUE, such as seed=3, stages.quantize.epochs=3 or stages[1].quantize.epochs=3"

Step = str | int


class _LostError(Exception):
    """The path leads nowhere: message and suggestion."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message, self.suggestion = message, suggestion


@dataclass(frozen=True)
class _Set:
    """One override, taken apart."""

    text: str
    steps: tuple[Step, ...]
    value: str

    @property
    def place(self) -> Place:
        return Place(f"--set {self.text}")


def apply_sets(document: Document, sets: Sequence[str]) -> Document:
    """Return the document with every override, in their order. One that fits nowhere adds a fault."""
    top, faults = document.top, list(document.faults)
    for text in sets:
        parts = _take_apart(text)
        if parts is None:
            faults.append(Fault(f"--set {text}", 0, "", "", _SHAPE))
            continue
        before = len(faults)
        value = parse_flow(parts.value, parts.place, text.partition("=")[0], faults)
        if value is None or len(faults) > before:
            continue
        try:
            top = _overridden(document, top, parts, value)
        except _LostError as e:
            if document.is_whole:
                faults.append(Fault(parts.place.file, 0, text.partition("=")[0], "", e.message, e.suggestion))
    return replace(document, top=top, faults=tuple(faults))


def _overridden(document: Document, top: dict[str, Node], given: _Set, value: Node) -> dict[str, Node]:
    if given.steps[0] == "extends":
        raise _LostError("what a recipe extends stands in its file")
    if given.steps[0] == "stages" and len(given.steps) > 1 and "stages" not in top:
        raise _LostError("the recipe has no stages")
    return long_forms(mapping(_changed(Node(top, document.place), given.steps, value, "")))


def names_set(sets: Sequence[str], section: str) -> set[str]:
    """Return which keys of a section were given by overrides."""
    parts = [part for part in map(_take_apart, sets) if part is not None and part.steps[0] == section]
    return {str(part.steps[1]) for part in parts if len(part.steps) > 1}


def _take_apart(text: str) -> _Set | None:
    path, equals, value = text.partition("=")
    if not equals or not _PATH.fullmatch(path):
        return None
    steps: list[Step] = [int(index) if index else key for index, key in _STEP.findall(path)]
    if len(steps) > DEEPEST:
        return None
    return _Set(text, tuple(steps), value)


def _changed(node: Node, steps: tuple[Step, ...], value: Node, path: str) -> Node:
    """Return a copy of `node` in which what `steps` lead to is `value`."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, tuple):
        if path == "stages" and isinstance(step, str):
            return _changed(node, (_position(node, step), *steps), value, path)
        return _changed_list(node, step, rest, value, path)
    if isinstance(step, int):
        raise _LostError(f"{path or 'the recipe'} is not a list, so [{step}] leads nowhere")
    if re.fullmatch(r"stages\[[0-9]+\]", path) and isinstance(node.value, str):
        node = Node({node.value: Node({}, node.place)}, node.place)  # a stage in its short form
    if node.value is BAD:
        return node
    if node.value is not None and not isinstance(node.value, dict):
        raise _LostError(f"{path} is not a mapping, so it has no {step}")
    held = mapping(node)
    child = held.get(step, Node(None, value.place))
    return Node({**held, step: _changed(child, rest, value, join(path, step))}, node.place)


def _changed_list(node: Node, step: Step, rest: tuple[Step, ...], value: Node, path: str) -> Node:
    items = node.value if isinstance(node.value, tuple) else ()
    if isinstance(step, str):
        raise _LostError(f"{path} is a list; say which of its items, from {path}[0] to {path}[{len(items) - 1}]")
    if step >= len(items):
        raise _LostError(f"{path} has {len(items)} items, from {path}[0] on")
    changed = _changed(items[step], rest, value, join(path, step))
    return Node((*items[:step], changed, *items[step + 1 :]), node.place)


def _position(stages: Node, name: str) -> int:
    """Return where the one stage of that name stands."""
    entries = stages.value if isinstance(stages.value, tuple) else ()
    names = [next(iter(e.value), "") if isinstance(e.value, dict) else e.value for e in entries]
    found = [i for i, entry in enumerate(names) if entry == name]
    if len(found) == 1:
        return found[0]
    if found:
        ways = " or ".join(f"stages[{i}].{name}" for i in found)
        raise _LostError(f"there are {len(found)} stages {name}; write {ways}")
    known = [str(entry) for entry in names if isinstance(entry, str)]
    near = closest(name, known)
    listed = ", ".join(f"stages[{i}].{entry}" for i, entry in enumerate(names) if isinstance(entry, str))
    raise _LostError(f"there is no stage {name}; write one of {listed or 'none'}", near and f"stages.{near}")
