"""The gates of a run as JUnit XML, which every CI system shows as tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from attendc.errors import AttendcError
from attendc.files import replace_file

__all__ = ["write_junit"]

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is no character of XML 1.0: control characters, halves of surrogate pairs."""


def write_junit(
    path: Path, name: str, gates: Sequence[Mapping[str, Any]], *, error: AttendcError | None = None
) -> None:
    """Write a test for each gate: passed or failed; and one that erred, where a stage could not be done.

    Raises:
        OutputError: if the file cannot be written.
    """
    failed = sum(not gate["passed"] for gate in gates)
    counts = {"tests": len(gates) + bool(error), "failures": failed, "errors": int(bool(error)), "skipped": 0}
    root = _element(None, "testsuites", name="attendc", **counts)
    suite = _element(root, "testsuite", name=name, **counts)
    for gate in gates:
        case = _element(suite, "testcase", classname=f"{name}.{gate['stage']}", name=gate["name"], time=0)
        found = f"{gate['kind']}: found {gate['value']}, due {gate['limit']}"
        if not gate["passed"]:
            _element(case, "failure", found, type=gate["kind"], message=gate["message"] or found)
        else:
            _element(case, "system-out", found)
    if error is not None:
        case = _element(suite, "testcase", classname=name, name="every stage is done", time=0)
        text = f"{error} (exit code {error.exit_code})"
        _element(case, "error", text, type=type(error).__name__, message=error.message)
    ET.indent(root)
    with replace_file(path) as beside:
        ET.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True)


def _element(parent: ET.Element | None, tag: str, text: str = "", /, **attributes: object) -> ET.Element:
    told = {name: _legal(str(value)) for name, value in attributes.items()}
    element = ET.Element(tag, told) if parent is None else ET.SubElement(parent, tag, told)
    element.text = _legal(text) or None
    return element


def _legal(text: str) -> str:
    """Return the text with `?` for what XML cannot hold, not even escaped: names may come from a stranger's file."""
    return _ILLEGAL.sub("?", text)
