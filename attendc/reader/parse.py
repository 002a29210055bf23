"""From YAML text to nodes: no tags, no anchors, no key twice, one document.

PyYAML's scanner and parser do the reading; its events become nodes here, so that no object is ever made from a tag,
nothing is repeated by an alias, and every value keeps its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from attendc.reader.faults import Fault, Place, join, show
from attendc.reader.nodes import BAD, Node
from attendc.reader.scalars import check_text, from_word

__all__ = ["DEEPEST", "LARGEST", "parse", "parse_flow"]

LARGEST = 128 * 1024
"""Characters of a recipe. A long one has five thousand; PyYAML reads some hundred thousand in a second."""

DEEPEST = 40
"""Lists and mappings inside each other."""

_VARIABLES, _VALUE = "use vars and ${...}", "write the value itself"
"""What to do instead of an anchor and its aliases."""

Event = Any
"""PyYAML's stubs know neither the marks nor the tags of its events."""


class _StopError(Exception):
    """Nothing after this can be read; the fault is told."""


def parse(text: str, file: str, faults: list[Fault], *, variables: bool = True) -> Node | None:
    """Return the top of the document, and add what is wrong to `faults`; `variables`: whether such a file may use them.

    None where the text cannot be read to its end, or holds nothing.
    """
    return _read(
        text, file, lambda mark: Place(file, mark.line + 1), faults, instead=_VARIABLES if variables else _VALUE
    )


def parse_flow(text: str, place: Place, path: str, faults: list[Fault]) -> Node | None:
    """Return the value that `text` writes in one line, all of it at `place`.

    What would be a mapping or list of several lines is text: `a: b`, `- a`.
    """
    try:
        first = next((e for e in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(e, yaml.NodeEvent)), None)
    except yaml.YAMLError:
        first = None
    if isinstance(first, yaml.CollectionStartEvent) and not first.flow_style:
        return Node(text, place)
    return _read(text or "null", place.file, lambda _: place, faults, path)


def _read(
    text: str,
    file: str,
    place: Callable[[Any], Place],
    faults: list[Fault],
    path: str = "",
    *,
    instead: str = _VARIABLES,
) -> Node | None:
    if len(text) > LARGEST:
        faults.append(Fault(file, 0, path, "", f"must be at most {LARGEST} characters long, not {len(text)}"))
        return None
    try:
        return _Reading(iter(yaml.parse(text, Loader=yaml.SafeLoader)), place, faults, instead).document(path)
    except _StopError:
        pass
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = place(mark) if mark else Place(file)
        told = "; ".join(part for part in (e.context, e.problem) if part)
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        quotes = '; inside { } and [ ], "${name}" stands in quotes' if "${" in line else ""
        faults.append(Fault(at.file, at.line, path, "", f"is not YAML: {told}{quotes}"))
    except yaml.reader.ReaderError as e:
        mark = yaml.Mark("", e.position, text.count("\n", 0, e.position), 0, None, 0)
        at = place(mark)
        character = f"U+{e.character:04X}" if isinstance(e.character, int) else show(e.character)
        faults.append(Fault(at.file, at.line, path, "", f"is not YAML: the character {character} is not allowed"))
    return None


@dataclass
class _Reading:
    """One pass over the events of a text."""

    events: Iterator[Event]
    place: Callable[[Any], Place]
    faults: list[Fault] = field(default_factory=list)
    instead: str = _VARIABLES

    def document(self, path: str) -> Node | None:
        top: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.NodeEvent) and top is None:
                top = self.node(event, path, None, 0)
            elif isinstance(event, yaml.NodeEvent):
                self.add(event, path, "must be one document: take out the --- and what follows")
                raise _StopError
        return top

    def node(self, event: Event, path: str, key: Place | None, depth: int) -> Node:
        """Return the node that begins with `event`; `key` is the place of its key."""
        place = self.place(event.start_mark)
        sound = self.is_allowed(event, path)
        if depth > DEEPEST:
            self.add(event, path, f"must not be more than {DEEPEST} lists and mappings deep")
            raise _StopError
        if isinstance(event, yaml.SequenceStartEvent):
            items = Node(tuple(self.items(path, depth)), key or place)
            return items if sound else Node(BAD, place)
        if isinstance(event, yaml.MappingStartEvent):
            pairs = Node(self.pairs(path, depth), key or place)
            return pairs if sound else Node(BAD, place)
        return self.scalar(event, path) if sound and isinstance(event, yaml.ScalarEvent) else Node(BAD, place)

    def items(self, path: str, depth: int) -> Iterator[Node]:
        index = 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self.node(event, join(path, index), None, depth + 1)
            index += 1

    def pairs(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path, depth)
            child = self.node(next(self.events), join(path, key or "?"), self.place(event.start_mark), depth + 1)
            if key is None:
                continue
            if key in found:
                first = found[key].place.line
                self.add(event, join(path, key), f"stands here a second time, first in line {first}; write it once")
                continue
            found[key] = child
        return found

    def key(self, event: Event, path: str, depth: int) -> str | None:
        """Return a key as it is written; None for one that cannot be a key."""
        if not isinstance(event, yaml.ScalarEvent):
            if not isinstance(event, yaml.AliasEvent):
                self.node(event, join(path, "?"), None, depth + 1)
            self.add(event, path, "must have keys that are words, not lists or mappings")
            return None
        if not self.is_allowed(event, path):
            return None
        try:
            return check_text(event.value)
        except ValueError as e:
            self.add(event, path, f"a key {e}")
            return None

    def scalar(self, event: Event, path: str) -> Node:
        place = self.place(event.start_mark)
        try:
            value = from_word(event.value) if event.implicit[0] else check_text(event.value)
        except ValueError as e:
            self.faults.append(Fault(place.file, place.line, path, show(event.value), str(e)))
            return Node(BAD, place)
        return Node(value, place)

    def is_allowed(self, event: Event, path: str) -> bool:
        if isinstance(event, yaml.AliasEvent):
            self.add(event, path, f"must not be an alias (*{event.anchor}); {self.instead}")
        elif event.anchor is not None:
            self.add(event, path, f"must not have an anchor (&{event.anchor}); {self.instead}")
        elif event.tag is not None:  # every event but an alias has one
            self.add(event, path, f"must not have a tag ({event.tag}); write the value alone")
        else:
            return True
        return False

    def add(self, event: Event, path: str, message: str) -> None:
        place = self.place(event.start_mark)
        self.faults.append(Fault(place.file, place.line, path, "", message))
