"""A resolved recipe as data and as YAML, which loads back to an equal recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attendc.reader.assemble import SECTIONS
from attendc.reader.defaults import as_data, defaults_of
from attendc.reader.dump import dump
from attendc.reader.head import Head
from attendc.reader.load import CONFIGS, load_recipe
from attendc.reader.variables import escaped
from attendc.recipe import Recipe

__all__ = ["merged_yaml", "recipe_to_data", "recipe_to_yaml"]

_HEAD = ("version", "name")
_TAIL = ("seed", "device", "threads", "output")


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """Return all of a recipe, defaults too, as JSON-able data. Variants are whole recipes in it."""
    data: dict[str, Any] = {key: getattr(recipe, key) for key in _HEAD}
    data |= {name: as_data(getattr(recipe, name)) for name in SECTIONS}
    data |= {key: getattr(recipe, key) for key in _TAIL}
    data["stages"] = [{entry.step: as_data(entry.config)} for entry in recipe.stages]
    if recipe.variants:
        data["variants"] = {name: recipe_to_data(variant) for name, variant in recipe.variants.items()}
    return data


def merged_yaml(
    source: str | Path,
    sets: Sequence[str] = (),
    *,
    defaults: bool = False,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what `source` comes to: with what it extends, overrides and variables filled in.

    Raises:
        RecipeError: with every fault.
    """
    return recipe_to_yaml(load_recipe(source, sets, environment=environment), defaults=defaults)


def recipe_to_yaml(recipe: Recipe, *, defaults: bool = False, stages: Mapping[str, type] = CONFIGS) -> str:
    """Return YAML that loads back to an equal recipe; without `defaults` only what differs from them.

    What differs between variants becomes a variable.
    """
    joined = _Joined(list(recipe.variants))
    everything = (recipe, *recipe.variants.values())
    data = joined.value([recipe_to_data(replace(one, variants={})) for one in everything], "recipe")
    if not defaults:
        data = _without_defaults(data, stages)
    if recipe.variants:
        data = {**_first(data), "vars": joined.variables, **_rest(data), "variants": joined.variants}
    told = "every value is written" if defaults else "what is not written has its default"
    return f"# A recipe of attendc with its variables filled in; {told}.\n{dump(data)}"


def _first(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in _HEAD}


def _rest(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in _HEAD}


class _Joined:
    """Several data of one shape as one, with variables where they differ."""

    def __init__(self, names: list[str]) -> None:
        self.variables: dict[str, Any] = {}
        self.variants: dict[str, dict[str, Any]] = {name: {} for name in names}

    def value(self, values: list[Any], key: str) -> Any:
        """Return the one value for all: the recipe's own is the first, then one per variant."""
        first = values[0]
        if all(_same(value, first) for value in values):
            return _escape(first)
        if all(isinstance(value, dict) and list(value) == list(first) for value in values):
            return {k: self.value([value[k] for value in values], k) for k in first}
        if key == "stages" and all(isinstance(value, list) and _steps(value) == _steps(first) for value in values):
            return [self.value([value[i] for value in values], key) for i in range(len(first))]
        name = self.new_name(key)
        self.variables[name] = _escape(first)
        for variables, value in zip(self.variants.values(), values[1:], strict=True):
            variables[name] = _escape(value)
        return f"${{{name}}}"

    def new_name(self, key: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_]", "_", key)
        stem = name if re.match(r"[A-Za-z_]", name) else f"v{name}"
        taken = sum(re.fullmatch(rf"{stem}(__[0-9]+)?", other) is not None for other in self.variables)
        return f"{stem}__{taken + 1}" if taken else stem


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are written alike: 1, 1.0 and true are not."""
    return repr(one) == repr(other)


def _steps(stages: list[Any]) -> list[list[str]]:
    return [list(entry) if isinstance(entry, dict) else [] for entry in stages]


def _escape(value: Any) -> Any:
    """Return the value with the `${` of its strings escaped."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {key: _escape(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_escape(child) for child in value]
    return value


def _without_defaults(data: dict[str, Any], stages: Mapping[str, type]) -> dict[str, Any]:
    left = _differing(data, defaults_of(Head))
    left["name"] = data["name"]
    for name, config in SECTIONS.items():
        section = _differing(data[name], defaults_of(config))
        left = {**left, name: section} if section else {key: left[key] for key in left if key != name}
    if isinstance(data["stages"], list):
        left["stages"] = [_short(entry, stages) for entry in data["stages"]]
    return {key: left[key] for key in data if key in left}


def _differing(data: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in defaults or not _same(value, defaults[key])}


def _short(entry: dict[str, Any], stages: Mapping[str, type]) -> Any:
    ((step, config),) = entry.items()
    left = _differing(config, defaults_of(stages[step]))
    return {step: left} if left else step
