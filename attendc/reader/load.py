"""Read a recipe: find, merge, override, fill in, check. All faults are told together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attendc.errors import InternalError
from attendc.reader.assemble import assemble
from attendc.reader.faults import Fault, RecipeError, join
from attendc.reader.merge import Document, read_document
from attendc.reader.nodes import Node, fault, is_sound, mapping
from attendc.reader.overrides import apply_sets, names_set
from attendc.reader.rules import check_name
from attendc.reader.sources import Source, find_recipe
from attendc.reader.variables import Interpolation
from attendc.recipe import Recipe
from attendc.stages.registry import STAGES

__all__ = ["CONFIGS", "load_recipe", "read_recipe", "recipe_from_text"]

CONFIGS: Mapping[str, type] = {name: stage.config for name, stage in STAGES.items()}
"""Name of each stage -> its config."""

_MOST_VARIANTS = 64


def load_recipe(
    source: str | Path, sets: Sequence[str] = (), *, environment: Mapping[str, str] | None = None
) -> Recipe:
    """Return the recipe that a shipped name or a file holds.

    Args:
        source: a shipped recipe's name, or a path.
        sets: overrides `PATH=VALUE`; they win over everything.
        environment: for `${env:NAME}`; None: this process's.

    Raises:
        RecipeError: with every fault.
    """
    return read_recipe(read_document(find_recipe(source)), sets, CONFIGS, environment)


def recipe_from_text(
    text: str, *, file: str = "<text>", sets: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Recipe:
    """Return the recipe that `text` holds; `file` is what faults call it, and what it extends lies beside that.

    Raises:
        RecipeError: with every fault.
    """
    return read_recipe(read_document(text_source(file), text), sets, CONFIGS, environment)


def text_source(file: str) -> Source:
    """Return the source of a text that was read elsewhere."""
    path = Path(file)
    stem = "recipe" if file.startswith("<") else path.stem
    return Source(file, stem, path.parent, path, str(path.absolute()))


def read_recipe(
    document: Document,
    sets: Sequence[str],
    stages: Mapping[str, type],
    environment: Mapping[str, str] | None = None,
) -> Recipe:
    """Return the recipe that a document describes, with overrides and with these stages.

    A recipe with variants has, beside them, the values of its own `vars`; what only variants define is there as in
    the first that does.

    Raises:
        RecipeError: with every fault.
    """
    document = apply_sets(document, sets)
    filling = _Filling(document, stages, os.environ if environment is None else environment)
    faults = list(document.faults)
    variants = _variants(document, faults)
    of_sets = names_set(sets, "vars")
    found: list[Fault] = []
    made = {name: filling.variant(name, node, of_sets, found) for name, node in variants.items()}
    alone: list[Fault] = []
    recipe = filling.base(variants, alone)
    places = {(one.file, one.line, one.path) for one in found}
    faults += [*found, *(one for one in alone if (one.file, one.line, one.path) not in places)]
    if faults:
        raise RecipeError(faults)
    sound = {name: variant for name, variant in made.items() if variant is not None}
    if recipe is None or len(sound) < len(made):
        raise InternalError(f"the recipe {document.place.file} has neither a value nor a fault")
    return replace(recipe, variants=sound)


def _variants(document: Document, faults: list[Fault]) -> dict[str, Node]:
    """Return name -> its variables, of those that are mappings."""
    node = document.top.get("variants")
    if node is not None and not isinstance(node.value, dict) and is_sound(node):
        faults.append(fault(node, "variants", "must be a mapping: the name of each variant -> its vars"))
    held = mapping(node)
    if len(held) > _MOST_VARIANTS:
        place = node.place if node is not None else document.place
        message = f"must be at most {_MOST_VARIANTS}, not {len(held)}"
        faults.append(Fault(place.file, place.line, "variants", "", message))
        return {}
    sound = {}
    for name, child in held.items():
        path = join("variants", name)
        check_name(Node(name, child.place), path, faults)
        if child.value is None or isinstance(child.value, dict):
            sound[name] = child
        elif is_sound(child):
            faults.append(fault(child, path, "must be a mapping of vars"))
    return sound


@dataclass(frozen=True)
class _Filling:
    """A document, and what its references may name."""

    document: Document
    stages: Mapping[str, type]
    environment: Mapping[str, str]

    def variant(self, name: str, node: Node, of_sets: set[str], faults: list[Fault]) -> Recipe | None:
        """Return one variant; variables that were overridden keep that value."""
        own = {key: child for key, child in mapping(node).items() if key not in of_sets}
        base = self.variables(faults)
        paths = {key: join("vars", key) for key in base} | {key: join(f"variants.{name}", key) for key in own}
        return self.filled({**base, **own}, paths, faults)

    def base(self, variants: dict[str, Node], faults: list[Fault]) -> Recipe | None:
        """Return the recipe itself."""
        variables: dict[str, Node] = {}
        paths: dict[str, str] = {}
        for name, node in reversed(variants.items()):
            variables |= mapping(node)
            paths |= {key: join(f"variants.{name}", key) for key in mapping(node)}
        own = self.variables(faults)
        return self.filled({**variables, **own}, paths | {key: join("vars", key) for key in own}, faults)

    def variables(self, faults: list[Fault]) -> dict[str, Node]:
        node = self.document.top.get("vars")
        if node is not None and not isinstance(node.value, dict) and is_sound(node):
            faults.append(fault(node, "vars", "must be a mapping: the name of each variable -> its value"))
        return mapping(node)

    def filled(self, variables: dict[str, Node], paths: dict[str, str], faults: list[Fault]) -> Recipe | None:
        left = {key: node for key, node in self.document.top.items() if key not in ("vars", "variants")}
        filling = Interpolation(variables, paths, self.environment, self.document.is_whole)
        document = replace(self.document, top=filling.fill(left))
        faults += filling.faults
        return assemble(document, self.stages, faults)
