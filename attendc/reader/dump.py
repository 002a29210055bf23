"""Data as YAML that means the same to this reader and to readers of YAML 1.1."""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["dump", "dump_inline"]

_SEQUENCE = "tag:yaml.org,2002:seq"
_ODD_BREAKS = set("\r\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version of YAML would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        """Return a list of plain values in one line, others in several."""
        flat = not any(isinstance(item, dict | list) for item in data)
        return self.represent_sequence(_SEQUENCE, data, flow_style=flat)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Return text; in double quotes, with escapes, where it has line breaks that other styles would fold."""
    style = '"' if set(text) & _ODD_BREAKS else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


class _InlineDumper(_Dumper):
    """Writes everything in one line."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        return self.represent_sequence(_SEQUENCE, data, flow_style=True)


_Dumper.add_representer(str, _represent_text)
_InlineDumper.add_representer(list, _InlineDumper.represent_list)
_Dumper.add_representer(list, _Dumper.represent_list)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^0o[0-7]+$"), ["0"])


def dump(data: dict[str, Any]) -> str:
    """Return a document, its keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)


def dump_inline(value: Any) -> str:
    """Return a value in one line."""
    text = yaml.dump(
        [value], Dumper=_InlineDumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True
    )
    return text.strip()[1:-1]
