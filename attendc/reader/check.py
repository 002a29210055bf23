"""From a node to a checked config, with every fault told once and in plain words.

pydantic checks; its errors say which branch of a union failed and how, so the words are made from the JSON schema of
the field instead: what may stand there, whatever stands there now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from attendc.errors import AttendcError
from attendc.reader.faults import Fault, closest, join
from attendc.reader.nodes import Node, fault, is_sound, mapping, plain
from attendc.reader.wording import allowed, meant, schema_at

__all__ = ["adapter", "check_config", "schema_of"]


@cache
def adapter(config: type) -> TypeAdapter[Any]:
    """Return what checks the values of a config."""
    return TypeAdapter(config)


@cache
def schema_of(config: type) -> dict[str, Any]:
    """Return the JSON schema of a config."""
    return adapter(config).json_schema()


def check_config(config: type, node: Node, path: str, faults: list[Fault]) -> Any | None:
    """Return the config that `node` describes, or None and its faults.

    Values that are BAD are left out in silence: their faults were told, and no recipe comes of the config.
    """
    if node.value is not None and not isinstance(node.value, dict):
        if is_sound(node):
            faults.append(fault(node, path, "must be a mapping"))
        return None
    held = mapping(node)
    sound = {key: plain(child) for key, child in held.items() if is_sound(child)}
    try:
        made: Any = adapter(config).validate_json(json.dumps(sound))
    except ValidationError as e:
        faults += _faults(config, node, path, e)
        return None
    except AttendcError as e:  # from the config's own __post_init__
        if is_sound(node):
            faults.append(fault(node, path, str(e)))
        return None
    wrong = [key for key, value in sound.items() if _is_lookalike(config, key, value)]
    faults += [_wrong(config, node, (key,), path, "") for key in wrong]
    return None if wrong else made


def _is_lookalike(config: type, key: str, value: object) -> bool:
    """Return whether pydantic took `true` or 8.0 for the one number 1 or 8 that is allowed."""
    schema = schema_of(config)["properties"][key]
    return "const" in schema and type(value) is not type(schema["const"])


def _faults(config: type, node: Node, path: str, error: ValidationError) -> list[Fault]:
    """Return one fault for each place, though a union has one error for each of its branches."""
    found: dict[tuple[str | int, ...], Fault] = {}
    for one in error.errors(include_url=False, include_input=False):
        steps = _steps_inside(node, one["loc"])
        if one["type"] == "value_error":
            if is_sound(node):  # else the rule may have seen a default where something was refused
                found[steps] = fault(*_follow(node, steps, path), str(one["ctx"]["error"]))
        elif one["type"] == "unexpected_keyword_argument":
            found[steps] = _unknown_key(config, node, steps, path)
        elif one["type"] == "missing" and (absent := _absent(node, one["loc"])):
            if absent[-1] not in mapping(_follow(node, absent[:-1], path)[0]):  # else it is BAD
                found[absent] = _missing(config, node, absent, path)
        elif steps not in found:
            found[steps] = _wrong(config, node, steps, path, one["msg"])
    return list(found.values())


def _steps_inside(node: Node, loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the part of pydantic's path that stands in the document; behind it are names of branches."""
    steps: list[str | int] = []
    for step in loc:
        inside: Node | None = None
        if isinstance(node.value, dict) and isinstance(step, str):
            inside = node.value.get(step)
        elif isinstance(node.value, tuple) and isinstance(step, int) and step < len(node.value):
            inside = node.value[step]
        if inside is None:
            break
        steps.append(step)
        node = inside
    return tuple(steps)


def _absent(node: Node, loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the path of a key that a config asks for; empty where it is an item of a list, or inside a union."""
    parent = _steps_inside(node, loc[:-1])
    return (*parent, loc[-1]) if len(parent) == len(loc) - 1 and isinstance(loc[-1], str) else ()


def _follow(node: Node, steps: Sequence[str | int], path: str) -> tuple[Node, str]:
    """Return what `steps` lead to, and its path."""
    for step in steps:
        node = cast("dict[str | int, Node]", node.value)[step]  # a mapping or list, since the steps were found in it
        path = join(path, step)
    return node, path


def _unknown_key(config: type, node: Node, steps: tuple[str | int, ...], path: str) -> Fault:
    top = schema_of(config)
    known = list((_resolved(config, steps[:-1]) or top).get("properties", {}))
    child, place = _follow(node, steps, path)
    return fault(child, place, f"no such key; known are {', '.join(known)}", closest(steps[-1], known))


def _resolved(config: type, steps: tuple[str | int, ...]) -> dict[str, Any] | None:
    """Return the schema of a mapping with its properties."""
    top = schema_of(config)
    found = schema_at(top, steps, top)
    while found is not None and "$ref" in found:
        found = top["$defs"][found["$ref"].rpartition("/")[2]]
    return found


def _missing(config: type, node: Node, steps: tuple[str | int, ...], path: str) -> Fault:
    top = schema_of(config)
    parent, _ = _follow(node, steps[:-1], path)
    schema = schema_at(top, steps, top)
    message = f"is missing; it must be {allowed(schema, top)}" if schema else "is missing"
    where = path
    for step in steps:
        where = join(where, step)
    return Fault(parent.place.file, parent.place.line, where, "", message)


def _wrong(config: type, node: Node, steps: tuple[str | int, ...], path: str, told: str) -> Fault:
    top = schema_of(config)
    child, place = _follow(node, steps, path)
    schema = schema_at(top, steps, top)
    if schema is None:
        return fault(child, place, told)
    return fault(child, place, f"must be {allowed(schema, top)}", meant(plain(child), schema, top))
