"""A preset of the user's own: YAML with the family, the size of the image, and the fields of the config.

    family: attendnext
    input_size: [32, 32]
    config:
      widths: [64, 64, 64, 64]
      gate: sigmoid

Fields that are left out have their defaults. Nothing but words, numbers and lists is made of the text, whatever tags it
has, and all faults are told together.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from attendc.errors import UsageError
from attendc.models.attendnext import CHOICES, AttendNeXtConfig
from attendc.models.layout import layout

__all__ = ["FAMILY", "PresetFile", "read_preset"]

FAMILY = "attendnext"

_KEYS = ("family", "input_size", "config")
_DEFAULTS = dataclasses.asdict(AttendNeXtConfig())
_LARGEST = 64 * 1024
"""Bytes of a file; one with every field has five hundred."""


@dataclass(frozen=True)
class PresetFile:
    """What a file says: a member of the family, and height and width of its image."""

    config: AttendNeXtConfig
    height: int
    width: int


def read_preset(path: Path) -> PresetFile:
    """Return what a file says.

    Raises:
        UsageError: with every fault, by line and key; or if no network can be built of it.
    """
    reading = _Reading(str(path))
    top = reading.mapping(reading.document(_text(path)), "", _KEYS)
    missing = [key for key in _KEYS if key not in top]
    if top or not reading.faults:
        reading.faults += [(0, f"{key} is missing") for key in missing]
    found = {key: reading.value(node, key, _ALLOWED[key]) for key, node in top.items() if key != "config"}
    config = reading.mapping(top["config"], "config", tuple(_DEFAULTS)) if "config" in top else {}
    fields = {key: reading.value(node, f"config.{key}", _allowed(key)) for key, node in config.items()}
    reading.stop_at_faults()
    height, width = found["input_size"]
    made = PresetFile(AttendNeXtConfig(**fields), height, width)
    try:
        layout(made.config, height, width)
    except ValueError as e:
        raise UsageError(f"{path}: no network can be built: {e}", hint="Change config or input_size") from e
    return made


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is no preset: it has more than {_LARGEST:,} bytes")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, 1)
        raise UsageError(f"no file {path}", hint=f"Did you mean {path.with_name(close[0])}?" if close else "") from None
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not UTF-8'}") from e


@dataclass(frozen=True)
class _Allowed:
    """What may stand at a key: an example that has its type, and the words that are known."""

    example: Any
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.words:
            return f"one of {', '.join(self.words)}"
        if isinstance(self.example, tuple):
            return f"a list of {len(self.example)} integers from 1 on"
        return "true or false" if isinstance(self.example, bool) else "an integer from 1 on"

    def holds(self, value: Any) -> bool:
        if self.words:
            return isinstance(value, str) and value in self.words
        if isinstance(self.example, tuple):
            right = isinstance(value, tuple) and len(value) == len(self.example)
            return right and all(_is_count(one) for one in value)
        return isinstance(value, bool) if isinstance(self.example, bool) else _is_count(value)


_ALLOWED = {"family": _Allowed("", (FAMILY,)), "input_size": _Allowed((32, 32))}


def _allowed(key: str) -> _Allowed:
    return _Allowed(_DEFAULTS[key], CHOICES.get(key, ()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _close(word: object, known: Iterable[str]) -> str:
    """Return what was probably meant, as the end of a sentence."""
    near = difflib.get_close_matches(str(word)[:100].lower(), known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


@dataclass
class _Reading:
    """One pass over the nodes of a file; faults are (line, what)."""

    file: str
    faults: list[tuple[int, str]] = field(default_factory=list)
    loader: Any = None

    def document(self, text: str) -> yaml.Node | None:
        try:
            self.loader = yaml.SafeLoader(text)
            node: yaml.Node | None = self.loader.get_single_node()
        except (yaml.YAMLError, RecursionError) as e:
            mark = getattr(e, "problem_mark", None)
            self.faults.append((mark.line + 1 if mark else 0, f"is not YAML: {getattr(e, 'problem', None) or e}"))
            self.stop_at_faults()
            raise
        return node

    def mapping(self, node: yaml.Node | None, path: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return the values of the keys that are known."""
        if not isinstance(node, yaml.MappingNode):
            self.add(node, path, f"must be a mapping with {', '.join(known)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            where = f"{path}.{name}" if path else name
            if name not in known:
                self.add(key, where, f"no such key; known are {', '.join(known)}{_close(name, known)}")
            elif name in found:
                self.add(key, where, "stands here a second time; write it once")
            else:
                found[name] = value
        return found

    def value(self, node: yaml.Node, path: str, allowed: _Allowed) -> Any:
        """Return a value; a fault is told where it is not what is allowed."""
        try:
            value = tuple(map(self.scalar, node.value)) if isinstance(node, yaml.SequenceNode) else self.scalar(node)
        except (yaml.YAMLError, ValueError):  # a date that is none
            self.add(node, path, f"must be {allowed}")
            return None
        if not allowed.holds(value):
            told = str(list(value) if isinstance(value, tuple) else value)[:60]
            self.add(node, path, f"{told}: must be {allowed}{_close(value, allowed.words)}")
        return value

    def scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.YAMLError
        return self.loader.construct_object(node)

    def add(self, node: yaml.Node | None, path: str, what: str) -> None:
        line = node.start_mark.line + 1 if node is not None and node.start_mark is not None else 0
        self.faults.append((line, f"{path}: {what}" if path else what))

    def stop_at_faults(self) -> None:
        """Raise all that was found, in the order of the file."""
        if self.faults:
            places = [f"{self.file}:{line}" if line else self.file for line, _ in sorted(self.faults)]
            told = [what for _, what in sorted(self.faults)]
            raise UsageError("; ".join(f"{place}: {what}" for place, what in zip(places, told, strict=True)))
