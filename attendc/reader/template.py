"""The commented recipe of `attendc recipe init`, made from the configs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from attendc.reader.assemble import SECTIONS
from attendc.reader.check import schema_of
from attendc.reader.defaults import defaults_of
from attendc.reader.dump import dump_inline
from attendc.reader.head import Head
from attendc.reader.load import CONFIGS
from attendc.reader.variables import escaped

__all__ = ["recipe_template"]

_WIDTH = 100
_ACTIVE = ("quantize", "convert", "verify")
_TOP = """\
# A recipe of attendc. Everything that may be said is here, with its default.
# A line that begins with #word: or #- takes effect without its #.
"""
_VARIABLES = """\
# Values for ${name} in any string below; ${env:NAME} is a variable of the environment.
#vars: {}

# Another recipe that this one changes: a shipped one's name, or a file beside this one.
#extends: []
"""
_VARIANTS = """\
# Name -> vars: the recipe runs once with each, side by side.
#variants: {}
"""


def recipe_template(
    checkpoint: str = "examples/attendnext_pico.safetensors", stages: Mapping[str, type] = CONFIGS
) -> str:
    """Return a recipe with every field, its help and its default, which loads without a fault."""
    head = defaults_of(Head)
    lines = [*_TOP.splitlines(), "version: 1", *_field(Head, "name", "my-run", "", active=False)]
    lines += ["", *_VARIABLES.splitlines()]
    for name, config in SECTIONS.items():
        given = {"checkpoint": checkpoint} if name == "model" else {}
        lines += ["", *_help(str(config.__doc__), ""), f"{name}:", *_fields(config, given, "  ")]
    lines.append("")
    for key in head:
        if key != "name":
            lines += _field(Head, key, head[key], "", active=False)
    lines += ["", *_VARIANTS.splitlines(), "", "# What is done, in this order.", "stages:"]
    active = {name for name in stages if name in _ACTIVE} or {next(iter(stages))}
    for name, config in stages.items():
        lines += [*_help(str(config.__doc__), "  "), f"  {'' if name in active else '#'}- {name}:"]
        lines += _fields(config, {}, "      ")
    return "\n".join(lines) + "\n"


def _fields(config: type, given: dict[str, Any], indent: str) -> list[str]:
    values = defaults_of(config) | given
    return [line for key in values for line in _field(config, key, values[key], indent, active=key in given)]


def _field(config: type, key: str, value: Any, indent: str, *, active: bool) -> list[str]:
    about = schema_of(config)["properties"][key].get("description", "")
    written = dump_inline(escaped(value) if isinstance(value, str) else value)
    return [*_help(about, indent), f"{indent}{'' if active else '#'}{key}: {written}"]


def _help(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"{indent}# {line}" for line in lines]
