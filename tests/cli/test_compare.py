"""`attendc compare` as typed, on folders with a manifest: in `main` float reaches 95.0 %, TFLite 94.5 %."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import cells, names, told
from made_up_runs import a_manifest

from attendc.cli.main import main
from attendc.manifest import MANIFEST, write_manifest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with `tmp` and three runs: `main`, `near` 0.5 points below it, `far` 1.5."""
    monkeypatch.chdir(tmp_path)
    for name, accuracy in (("main", 0.945), ("near", 0.94), ("far", 0.93)):
        Path(name).mkdir()
        write_manifest(Path(name), run_with(tflite=accuracy))


def run_with(**accuracy: float) -> dict[str, Any]:
    manifest = a_manifest()
    verification = manifest["verification"]
    return {**manifest, "verification": {**verification, "accuracy": {**verification["accuracy"], **accuracy}}}


def test_a_row_an_artefact_with_bytes_accuracy_and_points(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "near"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("against main\n")
    rows = {row[0]: row[1:] for row in cells(out)}
    assert rows["float"] == ["-", "95.00%", "", "-", "95.00%", "+0.00"]
    assert rows["tflite"] == ["260,000", "94.50%", "", "260,000", "94.00%", "-0.50"]
    assert "worse" not in out


def test_more_than_two_are_held_against_the_first(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "near", "main", "near"]) == 0
    rows = {row[0]: row[1:] for row in cells(capfd.readouterr().out)}
    assert [rows["tflite"][k] for k in (2, 5, 8)] == ["", "+0.50", "+0.00"]


def test_a_worse_run_exits_with_7_after_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "far"]) == 7
    out, err = capfd.readouterr()
    sentence = "tflite of far reaches 93.00 %, that of main 94.50 %: 1.50 points lost, 1 allowed"
    assert out.endswith(f"worse: {sentence}\n")
    assert err == f"error: {sentence}. Allow more with --max-drop POINTS\n"


@pytest.mark.parametrize(("given", "code"), [("--max-drop=1.5", 0), ("--max-drop=1.49", 7), ("--max-drop=-0.1", 7)])
def test_how_much_may_be_lost_can_be_said(given: str, code: int) -> None:
    assert main(["compare", "main", "far", given]) == code


def test_no_points_lost_are_no_less_than_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "main", "--max-drop=-1"]) == 7
    assert ": 0.00 points lost, -1 allowed" in capfd.readouterr().err


def test_a_missing_artefact_is_worse_and_no_limit_helps(capfd: pytest.CaptureFixture[str]) -> None:
    manifest = a_manifest()
    del manifest["outputs"]["model.int8.pt2"]
    write_manifest(Path("near"), manifest)
    assert main(["compare", "main", "near"]) == 7
    assert capfd.readouterr().err == "error: near has no model.int8.pt2, main has\n"


def test_json_says_whether_it_passed_and_is_all_of_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "near", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["passed"] is True
    assert main(["compare", "main", "far", "--json"]) == 7
    printed = json.loads(capfd.readouterr().out)
    assert (printed["passed"], printed["runs"], printed["worst_drop"]) == (False, ["main", "far"], 1.5)


def test_a_page_is_written_also_where_one_is_worse(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "far", "-o", "made/compare.html"]) == 7
    assert capfd.readouterr().out.endswith("side by side: made/compare.html\n")
    page = Path("made/compare.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "1.50 points lost" in page


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (["main"], 2, "error: 1 run is nothing to compare. Give two runs or more"),
        ([], 2, "Missing argument 'RUNS...'"),
        (["main", "tmp"], 3, "error: tmp has no manifest.json"),
        (["main", "nowhere"], 3, "error: nowhere has no manifest.json"),
        (["main", f"main/{MANIFEST}"], 3, f"error: main/{MANIFEST} has no manifest.json"),
        (["main", "broken"], 3, "error: broken/manifest.json is damaged: "),
        (["main", "odd"], 3, "error: odd/manifest.json is damaged: "),
        (["main", "near", "-otmp"], 2, "error: tmp is a folder. Give the name of a file"),
        (["main", "near", f"-omain/{MANIFEST}/page.html"], 2, "is a file. A part of the path is a file"),
        (["main", "near", "--max-drop=nan"], 2, "Invalid value for '--max-drop': nan is not a finite number"),
        (["main", "near", "--max-drop=much"], 2, "'much' is not a valid float"),
    ],
)
def test_what_cannot_be_compared_is_told_and_nothing_written(
    capfd: pytest.CaptureFixture[str], given: list[str], code: int, text: str
) -> None:
    Path("broken").mkdir()
    Path("broken", MANIFEST).write_text("{")
    Path("odd").mkdir()
    Path("odd", MANIFEST).write_text('{"outputs": {"model.int8.onnx": 3}}')
    assert main(["compare", *given]) == code
    assert text in told(capfd)
    assert names(Path()) == ["broken", "far", "main", "near", "odd", "tmp"]


def test_an_error_under_json_is_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "tmp", "--json"]) == 3
    assert json.loads(capfd.readouterr().out)["error"]["kind"] == "CheckpointError"
