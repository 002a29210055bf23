"""The configs as JSON-able data: what a field is when nobody says anything, and what an instance holds."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any

__all__ = ["as_data", "defaults_of"]


def as_data(value: Any) -> Any:
    """Return a config, or a value of one, as JSON keeps it."""
    if is_dataclass(value) and not isinstance(value, type):
        return as_data(asdict(value))
    if isinstance(value, dict):
        return {key: as_data(child) for key, child in value.items()}
    if isinstance(value, tuple | list):
        return [as_data(child) for child in value]
    return value


def defaults_of(config: type) -> dict[str, Any]:
    """Return name -> default of the fields that have one."""
    found = {}
    for field in fields(config):
        if field.default is not MISSING:
            found[field.name] = as_data(field.default)
        elif field.default_factory is not MISSING:
            found[field.name] = as_data(field.default_factory())
    return found
