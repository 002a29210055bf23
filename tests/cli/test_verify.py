"""`attendc verify` as typed: its report, and the exit codes of what fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attendc.cli.main import main
from attendc.converters.tflite_schema import read_model, write_model
from attendc.manifest import file_entry, read_manifest, write_manifest
from attendc.reader.load import recipe_from_text

pytestmark = pytest.mark.slow  # whole folders are made and verified

Verify = Callable[..., int]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """Return a quantized folder that may be changed."""
    shutil.copytree(small_folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def verify(temporary: Path) -> Verify:
    """Run `attendc verify` on 40 images, whatever accuracy was lost."""
    return lambda folder, *given: main(["verify", str(folder), "--images=40", "--max-drop=100", *given])


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line of the error."""
    err = capfd.readouterr().err
    assert "Traceback" not in err
    line = err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_json_has_every_part_of_the_report(
    verify: Verify, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify(small_folder, "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert {"images", "accuracy", "pairs", "scales_equal", "weights_equal", "passed"} <= report.keys()
    assert {"float", "graph", "tflite", "onnx"} <= report["accuracy"].keys()
    assert all({"a", "b", "top1_agreement", "max_lsb"} <= pair.keys() for pair in report["pairs"])
    assert (report["images"], report["passed"]) == (40, True)
    assert (report["scales_equal"], report["weights_equal"]) == (True, True)


def test_without_json_every_pair_and_accuracy_is_a_row(
    verify: Verify, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify(small_folder) == 0
    out, err = capfd.readouterr()
    for text in ("graph - onnx", "graph - tflite_reference", "agreement", "max steps", "SQNR dB", "top-1", "passed"):
        assert text in out
    assert "verify tflite: 40/40 after" in err


def test_a_changed_file_exits_with_6(verify: Verify, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (folder / "model.int8.tflite").open("ab") as file:
        file.write(b"\0")
    assert verify(folder) == 6
    line = told(capfd)
    assert "model.int8.tflite is not the file that the manifest describes: its sha256 differs" in line
    assert "Quantize again" in line


def test_changed_integers_exit_with_6_even_if_the_manifest_was_changed_too(
    verify: Verify, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "model.int8.tflite"
    model = read_model(path)
    head = model.subgraphs[0].tensors[model.subgraphs[0].operators[-1].inputs[1]]
    model.buffers[head.buffer].data[0] ^= 1
    write_model(path, model)
    manifest = read_manifest(folder)
    manifest["outputs"][path.name] |= file_entry(path)
    write_manifest(folder, manifest)
    assert verify(folder) == 6
    assert "tflite: the integers of 1 layers differ" in told(capfd)


def test_a_failed_gate_prints_the_report_and_exits_with_7(
    verify: Verify, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify(small_folder, "--max-drop=-101", "--json") == 7
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert (report["passed"], report["failures"], len(report["accuracy_failures"])) == (False, [], 3)
    assert "error: graph reaches" in err
    assert err.endswith("-101.0 allowed. Allow more with --max-drop POINTS\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [("none", "no folder "), ("empty", "has no manifest.json. Give a folder that attendc made")],
)
def test_a_folder_that_is_none_of_ours_exits_with_3(
    verify: Verify, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert verify(tmp_path / name) == 3
    assert text in told(capfd)


def test_data_that_is_not_there_exits_with_4(
    verify: Verify, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify(small_folder, "--data=nowhere") == 4
    assert "no data at 'nowhere'" in told(capfd)


@pytest.mark.parametrize(
    ("on", "text"),
    [
        ("cortex-a67", "no core 'cortex-a67'. Did you mean cortex-a76? Cores: cortex-a35"),
        ("cortex-a72,cortex-a76", "no emulated machine in "),
    ],
)
def test_a_core_that_is_none_or_not_set_up_exits_with_2_before_any_work(
    verify: Verify,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    text: str,
) -> None:
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "none"))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    before = read_manifest(folder)
    assert verify(folder, f"--on={on}") == 2
    out, err = capfd.readouterr()
    assert text in err.splitlines()[-1]
    assert (out, "verify float" in err) == ("", False)
    assert read_manifest(folder) == before


def test_cores_stand_in_the_recipe(verify: Verify, small_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert verify(small_folder, "--on=cortex-a72", "--on=cortex-a76,cortex-a72", "--print-recipe") == 0
    printed = capfd.readouterr().out
    assert recipe_from_text(printed, file="printed").stages[0].config.on == ("cortex-a72", "cortex-a76")


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_changes_nothing(small_folder: Path, tmp_path: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in small_folder.iterdir()}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "attendc", "verify", str(small_folder)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while (line := process.stderr.readline()) and not line.startswith("verify float: 2000/2000"):
            pass
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().strip().splitlines()[-1]
    assert (process.returncode, last[:12]) == (130, "interrupted:")
    assert {p.name: p.stat().st_mtime_ns for p in small_folder.iterdir()} == before
    assert list(tmp_path.glob("attendc-*.log")) == []
