"""What a JSON schema allows, in plain words, and what was probably meant by a value that it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from attendc.reader.faults import closest

__all__ = ["allowed", "meant", "schema_at"]

Schema = dict[str, Any]

_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_SIMPLE = {"string": "text", "boolean": "true or false", "null": "null", "object": "a mapping", "array": "a list"}


def schema_at(schema: Schema, steps: Sequence[str | int], top: Schema) -> Schema | None:
    """Return the schema of what stands below `steps`; None if none is known. `top` holds the $defs."""
    if not steps:
        return schema
    for branch in _branches(schema, top):
        child = _child(branch, steps[0])
        found = schema_at(child, steps[1:], top) if child is not None else None
        if found is not None:
            return found
    return None


def _child(schema: Schema, step: str | int) -> Schema | None:
    if isinstance(step, int):
        first = schema.get("prefixItems", [])
        found = first[step] if step < len(first) else schema.get("items")
    else:
        found = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _branches(schema: Schema, top: Schema) -> Iterator[Schema]:
    """Yield the alternatives of a schema, with references followed."""
    if "$ref" in schema:
        yield from _branches(top["$defs"][schema["$ref"].rpartition("/")[2]], top)
    elif "anyOf" in schema:
        for branch in schema["anyOf"]:
            yield from _branches(branch, top)
    else:
        yield schema


def allowed(schema: Schema, top: Schema) -> str:
    """Return what a value must be, as `an integer from 1 on or null`."""
    nouns = list(dict.fromkeys(_noun(branch, top) for branch in _branches(schema, top)))
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} or {nouns[-1]}"


def _noun(schema: Schema, top: Schema) -> str:
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(_literal, schema["enum"]))
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return ("an integer" if kind == "integer" else "a number") + _range(schema)
    if kind == "array":
        return _list(schema, top)
    each = schema.get("additionalProperties")
    if kind == "object" and isinstance(each, dict) and each:
        return f"a mapping, each value {allowed(each, top)}"
    return _SIMPLE.get(kind, "a value")


def _list(schema: Schema, top: Schema) -> str:
    first = schema.get("prefixItems")
    if first:
        nouns = [allowed(one, top) for one in first]
        each = f"each {nouns[0]}" if len(set(nouns)) == 1 else ", ".join(nouns)
        return f"a list of {len(nouns)}, {each}"
    each = allowed(schema["items"], top) if schema.get("items") else ""
    return f"a list, each {each}" if each else "a list"


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    start = f"from {_number(low)} on" if low is not None else f"above {_number(above)}" if above is not None else ""
    end = f"up to {_number(high)}" if high is not None else f"below {_number(below)}" if below is not None else ""
    if low is not None and end:
        start = f"from {_number(low)}"
    return f" {' and '.join(part for part in (start, end) if part)}" if start or end else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def meant(value: object, schema: Schema, top: Schema) -> str:
    """Return what `value` was probably meant to be: a word spelled nearly so, or the same with or without quotes."""
    branches = list(_branches(schema, top))
    words = [w for b in branches for w in ([b["const"]] if "const" in b else b.get("enum", [])) if isinstance(w, str)]
    kinds = {b.get("type") for b in branches}
    near = closest(value, words)
    if near:
        return near
    if isinstance(value, str) and "boolean" in kinds:
        return _SWITCHES.get(value.lower(), value if value in ("true", "false") else "")
    if isinstance(value, str) and kinds & {"integer", "number"} and _is_number(value):
        return value
    if "string" in kinds and not words and isinstance(value, bool | int | float):
        return json.dumps(json.dumps(value))
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
