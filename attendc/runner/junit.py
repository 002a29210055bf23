"""The gates of a run as JUnit XML, which every CI system shows as tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from attendc.errors import AttendcError
from attendc.files import replace_file

__all__ = ["write_junit"]


def write_junit(
    path: Path, name: str, gates: Sequence[Mapping[str, Any]], *, error: AttendcError | None = None
) -> None:
    """Write a test for each gate: passed or failed; and one that erred, where a stage could not be done.

    Raises:
        OutputError: if the file cannot be written.
    """
    failed = sum(not gate["passed"] for gate in gates)
    counts = {"tests": len(gates) + bool(error), "failures": failed, "errors": int(bool(error)), "skipped": 0}
    numbers: dict[str, Any] = {key: str(value) for key, value in counts.items()}
    root = ET.Element("testsuites", name="attendc", **numbers)
    suite = ET.SubElement(root, "testsuite", name=name, **numbers)
    for gate in gates:
        case = ET.SubElement(suite, "testcase", classname=f"{name}.{gate['stage']}", name=gate["name"], time="0")
        found = f"{gate['kind']}: found {gate['value']}, due {gate['limit']}"
        if not gate["passed"]:
            ET.SubElement(case, "failure", type=gate["kind"], message=gate["message"] or found).text = found
        else:
            ET.SubElement(case, "system-out").text = found
    if error is not None:
        case = ET.SubElement(suite, "testcase", classname=name, name="every stage is done", time="0")
        text = f"{error} (exit code {error.exit_code})"
        ET.SubElement(case, "error", type=type(error).__name__, message=error.message).text = text
    ET.indent(root)
    with replace_file(path) as beside:
        ET.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True)
