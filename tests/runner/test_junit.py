"""Gates as JUnit XML: the counts, and that it is XML whatever names say."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies as st

from attendc.errors import AttendcError, ConversionError, OutputError
from attendc.runner.junit import write_junit

ODD = 'a<b>&"c"\'\x00\x1b[31m\ud800\ufffe]]>é\U0001f600'
"""What XML must escape, and what it cannot hold at all."""
SHOWN = 'a<b>&"c"\'??[31m??]]>é\U0001f600'


def gate(**changes: Any) -> dict[str, Any]:
    row = {"stage": "verify", "name": "agreement of graph with onnx", "kind": "parity", "value": 0.98, "limit": 0.99}
    return {**row, "passed": True, "message": "", **changes}


def written(path: Path, name: str, gates: list[dict[str, Any]], error: AttendcError | None = None) -> ET.Element:
    write_junit(path, name, gates, error=error)
    return ET.parse(path).getroot()


def test_a_gate_that_holds_is_a_test_that_passes(tmp_path: Path) -> None:
    root = written(tmp_path / "gates.xml", "int8", [gate(value=1.0)])
    (case,) = root.iter("testcase")
    assert case.attrib == {"classname": "int8.verify", "name": "agreement of graph with onnx", "time": "0"}
    assert [child.tag for child in case] == ["system-out"]
    assert case[0].text == "parity: found 1.0, due 0.99"


def test_a_gate_that_does_not_hold_is_a_failure(tmp_path: Path) -> None:
    root = written(tmp_path / "gates.xml", "int8", [gate(passed=False, message="they disagree"), gate(passed=False)])
    first, second = root.iter("failure")
    assert first.attrib == {"type": "parity", "message": "they disagree"}
    assert first.text == "parity: found 0.98, due 0.99"
    assert second.attrib["message"] == "parity: found 0.98, due 0.99"


def test_a_stage_that_erred_is_an_error(tmp_path: Path) -> None:
    error = ConversionError("erf has no int8", hint="Allow float")
    (found,) = written(tmp_path / "gates.xml", "int8", [], error).iter("error")
    assert found.attrib == {"type": "ConversionError", "message": "erf has no int8"}
    assert found.text == "erf has no int8. Allow float (exit code 5)"


@pytest.mark.parametrize("error", [None, ConversionError("no")])
def test_the_counts_are_those_of_what_is_inside(tmp_path: Path, error: AttendcError | None) -> None:
    root = written(tmp_path / "gates.xml", "int8", [gate(), gate(passed=False), gate()], error)
    (suite,) = root
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(list(root.iter("testcase"))) == 3 + bool(error)
        assert int(element.attrib["failures"]) == len(list(root.iter("failure"))) == 1
        assert int(element.attrib["errors"]) == len(list(root.iter("error"))) == int(bool(error))
        assert element.attrib["skipped"] == "0"


def test_without_gates_there_is_an_empty_suite(tmp_path: Path) -> None:
    (suite,) = written(tmp_path / "gates.xml", "int8", [])
    assert (suite.attrib["tests"], suite.attrib["name"], list(suite)) == ("0", "int8", [])


def test_names_are_shown_as_far_as_xml_can(tmp_path: Path) -> None:
    root = written(tmp_path / "gates.xml", ODD, [gate(name=ODD, passed=False, message=ODD)], ConversionError(ODD))
    case, erred = root.iter("testcase")
    assert (case.attrib["name"], case.attrib["classname"]) == (SHOWN, f"{SHOWN}.verify")
    assert case[0].attrib["message"] == SHOWN
    assert erred[0].text == f"{SHOWN} (exit code 5)"


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_gives_xml(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xml"
    root = written(path, text, [gate(name=text, stage=text, message=text, passed=False)], ConversionError(text))
    assert root.attrib["tests"] == "2"


def test_an_older_file_is_replaced_and_a_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "results" / "gates.xml"
    written(path, "int8", [gate(), gate()])
    assert written(path, "int8", []).attrib["tests"] == "0"
    assert [p.name for p in path.parent.iterdir()] == ["gates.xml"]


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_junit(tmp_path, "int8", [])
