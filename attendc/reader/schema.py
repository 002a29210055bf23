"""The JSON Schema of recipes, for editors, made from the configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import TypeAdapter

from attendc.reader.assemble import SECTIONS
from attendc.reader.check import adapter
from attendc.reader.defaults import defaults_of
from attendc.reader.head import Head
from attendc.reader.load import CONFIGS
from attendc.reader.merge import SHORT_FORMS

__all__ = ["recipe_schema"]

Schema = dict[str, Any]

_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
_EXTENDS = "Recipes that this one changes: shipped names, or files beside this one; the later wins."
_VARS = "Values for ${name} in any string."
_VARIANTS = "Name -> vars; the recipe runs once with each."
_STAGES = "What is done, in this order."


def recipe_schema(stages: Mapping[str, type] = CONFIGS) -> Schema:
    """Return the schema (2020-12); wherever no text may stand, a string with `${...}` still may."""
    configs: dict[str, type] = {"": Head, **SECTIONS, **{f"stages.{name}": stages[name] for name in stages}}
    mode: Literal["validation"] = "validation"
    inputs = [(key, mode, adapter(config)) for key, config in configs.items()]
    made, shared = TypeAdapter.json_schemas(inputs)
    defs: Schema = shared.get("$defs", {})
    parts = {key: _completed(_resolved(made[key, mode], defs), configs[key]) for key in configs}
    head = parts[""]["properties"]
    bases = {"description": _EXTENDS, "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    properties = {
        **{key: head[key] if key == "version" else _filled(head[key]) for key in ("version", "name")},
        "extends": bases,
        "vars": {"description": _VARS, "type": ["object", "null"]},
        **{name: _section(name, _filled(parts[name], whole=False)) for name in SECTIONS},
        **{key: _filled(head[key]) for key in head if key not in ("version", "name")},
        "variants": {
            "description": _VARIANTS,
            "type": ["object", "null"],
            "additionalProperties": {"type": ["object", "null"]},
        },
        "stages": _stages({name: _filled(parts[f"stages.{name}"], whole=False) for name in stages}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of attendc",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["version", "stages"]}, {"required": ["extends"]}],
        "$defs": {name: _filled(defs[name], whole=False) for name in defs if _is_used(name, parts, defs)},
    }


def _is_used(name: str, parts: dict[str, Schema], defs: Schema) -> bool:
    """Return whether anything refers to a shared schema; the configs themselves stand where they are used."""
    reference = f'"#/$defs/{name}"'
    others = [definition for other, definition in defs.items() if other != name]
    return reference in json.dumps([*parts.values(), *others])


def _resolved(schema: Schema, defs: Schema) -> Schema:
    """Return the config's own schema, which pydantic may have put among the shared ones."""
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    return schema


def _completed(schema: Schema, config: type) -> Schema:
    """Return the schema with what pydantic leaves out: the help of the whole, and defaults that a factory makes."""
    defaults = defaults_of(config)
    properties = {
        name: {**field, "default": defaults[name]} if name in defaults else field
        for name, field in schema["properties"].items()
    }
    return {"description": " ".join(str(config.__doc__).split()), **schema, "properties": properties}


def _section(name: str, schema: Schema) -> Schema:
    about = f"{schema.get('description', '')} A plain string is its {SHORT_FORMS[name]}.".strip()
    return {"description": about, "anyOf": [{"type": "string"}, schema, {"type": "null"}]}


def _stages(configs: dict[str, Schema]) -> Schema:
    one = {
        "type": "object",
        "properties": {
            name: {"description": schema.get("description", ""), "anyOf": [schema, {"type": "null"}, _REFERENCE]}
            for name, schema in configs.items()
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    items = {"anyOf": [{"enum": list(configs)}, one, _REFERENCE]}
    return {"description": _STAGES, "anyOf": [{"type": "array", "items": items, "minItems": 1}, _REFERENCE]}


def _filled(schema: Schema, *, whole: bool = True) -> Schema:
    """Return the schema with `${...}` allowed inside it, and (`whole`) in its own place."""
    opened = {key: value for key, value in schema.items() if key != "title"}
    if "properties" in schema:
        opened["properties"] = {name: _filled(field) for name, field in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            opened[key] = _filled(schema[key])
    if "prefixItems" in schema:
        opened["prefixItems"] = [_filled(item) for item in schema["prefixItems"]]
    if "anyOf" in schema:
        opened["anyOf"] = [_filled(branch, whole=False) for branch in schema["anyOf"]]
    return _or_reference(opened) if whole and not _takes_text(opened) else opened


def _takes_text(schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(_takes_text(branch) for branch in schema["anyOf"])
    if "const" in schema or "enum" in schema or "$ref" in schema:
        return False
    return bool(schema.get("type", "string") == "string")


def _or_reference(schema: Schema) -> Schema:
    outside: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    inside = {key: value for key, value in schema.items() if key not in outside}
    branches = inside.get("anyOf", [inside])
    return {**outside, "anyOf": [*branches, _REFERENCE]}
