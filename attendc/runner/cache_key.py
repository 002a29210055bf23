"""The key of a stage: the sha256 of everything that decides its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from attendc.errors import InternalError

__all__ = ["stage_key"]


def stage_key(ingredients: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal digits that are the same wherever and in whatever order `ingredients` were put together.

    Lists and tuples are one kind, as in JSON. All other types are kept apart: 1, 1.0, True, "1" and Path("1") differ.

    Raises:
        InternalError: if something has no text that is the same in every process (an object, a function, an array).
    """
    text = json.dumps(_plain(ingredients, ""), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: object, where: str) -> object:
    """Return `value` as JSON. Types that JSON lacks become an object whose only key begins with one `!`."""
    for kind, write in _KINDS.items():
        if isinstance(value, kind):
            return write(value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {f"!{type(value).__qualname__}": _mapping(fields, where)}
    raise InternalError(f"the key of a stage cannot hold {where or 'this'}: a {type(value).__name__}")


def _mapping(value: Mapping[Any, object], where: str) -> object:
    for name in value:
        if not isinstance(name, str):
            raise InternalError(f"the key of a stage cannot hold {where or 'this'}: its name {name!r} is no text")
    # A name of the user's that begins with `!` gets one more, so that it is never taken for a type.
    return {f"!{name}" if name.startswith("!") else name: _plain(v, f"{where}.{name}") for name, v in value.items()}


def _sequence(value: Any, where: str) -> object:
    return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]


def _set(value: Any, where: str) -> object:
    return {"!set": sorted((_plain(v, f"{where}{{}}") for v in value), key=json.dumps)}


def _float(value: float, where: str) -> object:
    return float(value) if math.isfinite(value) else {"!float": str(float(value))}


_KINDS: dict[Any, Callable[[Any, str], object]] = {
    Enum: lambda v, _: {"!enum": f"{type(v).__qualname__}.{v.name}"},  # before int and str, which an Enum may also be
    type(None): lambda v, _: v,
    bool: lambda v, _: v,
    int: lambda v, _: int(v),
    float: _float,
    str: lambda v, _: str(v),
    bytes: lambda v, _: {"!bytes": v.hex()},
    PurePath: lambda v, _: {"!path": v.as_posix()},
    Mapping: _mapping,
    list: _sequence,
    tuple: _sequence,
    set: _set,
    frozenset: _set,
}
