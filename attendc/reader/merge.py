"""One document out of a file and what it extends: mappings merge, everything else is replaced, the later wins."""

from __future__ import annotations

from dataclasses import dataclass, field

from attendc.reader.faults import Fault, Place, RecipeError
from attendc.reader.nodes import BAD, Node, fault, mapping
from attendc.reader.parse import parse
from attendc.reader.sources import Source, find_recipe, read_source
from attendc.recipe import VERSION

__all__ = ["SHORT_FORMS", "Document", "long_forms", "merge", "read_document"]

SHORT_FORMS = {"model": "checkpoint", "data": "source", "target": "core"}
"""Sections that may be a plain string -> the key that it then stands for."""

_MOST_BASES = 16


@dataclass(frozen=True)
class Document:
    """A mapping, and what is wrong so far.

    Attributes:
        top: the keys of the document.
        place: of the whole.
        name: the recipe's if it gives none.
        is_whole: False where a part could not be read, so that what seems to be missing may stand there.
        faults: found while reading.
    """

    top: dict[str, Node]
    place: Place
    name: str
    is_whole: bool = True
    faults: tuple[Fault, ...] = ()


def merge(base: dict[str, Node], over: dict[str, Node]) -> dict[str, Node]:
    """Return `base` with what `over` says."""
    merged = dict(base)
    for key, node in over.items():
        old = merged.get(key)
        if old is not None and isinstance(old.value, dict) and isinstance(node.value, dict):
            node = Node(merge(old.value, node.value), node.place)
        merged[key] = node
    return merged


def long_forms(top: dict[str, Node]) -> dict[str, Node]:
    """Return the document with each section that is a plain string, or empty, as a mapping."""
    changed = dict(top)
    for section, key in SHORT_FORMS.items():
        node = top.get(section)
        if node is not None and isinstance(node.value, str):
            changed[section] = Node({key: node}, node.place)
    for section in (*SHORT_FORMS, "vars", "variants"):
        node = top.get(section)
        if node is not None and node.value is None:
            changed[section] = Node({}, node.place)
    return changed


def read_document(source: Source, text: str | None = None) -> Document:
    """Read a recipe and what it extends. A fault does not stop it; what cannot be read is left out.

    Args:
        source: of the recipe.
        text: its content, where it comes from no file.
    """
    return _Merging().read(source, text)


@dataclass
class _Merging:
    """Files read so far: each is read once, also if many extend it."""

    done: dict[str, Document] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def read(self, source: Source, text: str | None = None) -> Document:
        faults: list[Fault] = []
        place = Place(source.label)
        try:
            node = parse(read_source(source) if text is None else text, source.label, faults)
        except RecipeError as e:
            return Document({}, place, source.stem, is_whole=False, faults=e.faults)
        if node is None or not isinstance(node.value, dict):
            if not faults:
                faults.append(_not_a_mapping(node, source.label))
            return Document({}, place, source.stem, is_whole=False, faults=tuple(faults))
        return self.extended(source, node, faults)

    def extended(self, source: Source, node: Node, faults: list[Fault]) -> Document:
        top = long_forms(mapping(node))
        extends = top.pop("extends", None)
        version = top.get("version")
        if self.open and version is not None and version.value not in (VERSION, BAD):
            faults.append(fault(version, "version", f"must be {VERSION}"))  # the file that extends it may hide this
        self.open.append(source.identity)
        bases = [self.base(source, one, path, faults) for one, path in _names(extends, faults)]
        self.open.pop()
        merged: dict[str, Node] = {}
        for base in bases:
            merged = merge(merged, base.top)
            faults += base.faults
        merged.pop("name", None)  # a base's name is the base's
        whole = all(base.is_whole for base in bases) and (extends is None or extends.value is not BAD)
        return Document(merge(merged, top), node.place, source.stem, whole, tuple(faults))

    def base(self, source: Source, node: Node, path: str, faults: list[Fault]) -> Document:
        lost = Document({}, node.place, "", is_whole=False)
        try:
            found = find_recipe(str(node.value), folder=source.folder, told=node.place)
        except RecipeError as e:
            faults += e.faults
            return lost
        key = found.identity
        if key in self.open:
            faults.append(fault(node, path, "must not extend itself, nor a recipe that extends it"))
            return lost
        if len(self.open) >= _MOST_BASES:
            faults.append(fault(node, path, f"must not be more than {_MOST_BASES} recipes deep"))
            return lost
        if key not in self.done:
            self.done[key] = self.read(found)
        return self.done[key]


def _names(extends: Node | None, faults: list[Fault]) -> list[tuple[Node, str]]:
    """Return each name in `extends` with its path."""
    if extends is None or extends.value is None or extends.value is BAD:
        return []
    nodes = extends.value if isinstance(extends.value, tuple) else (extends,)
    paths = [f"extends[{i}]" for i in range(len(nodes))] if nodes is extends.value else ["extends"]
    if len(nodes) > _MOST_BASES:
        faults.append(fault(extends, "extends", f"must be at most {_MOST_BASES} recipes"))
        return []
    sound = []
    for node, path in zip(nodes, paths, strict=True):
        if isinstance(node.value, str) and "${" not in node.value:
            sound.append((node, path))
        elif node.value is not BAD:
            faults.append(fault(node, path, "must be a recipe's name or file, without ${...}"))
    return sound


def _not_a_mapping(node: Node | None, file: str) -> Fault:
    if node is None or node.value is None:
        return Fault(file, 0, "", "", "is empty; a recipe begins with version: 1 and has stages")
    return fault(node, "", "must be a mapping: version, model, stages, ...")
