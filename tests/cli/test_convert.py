"""`attendc convert` as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nets import RUN_FILES

from attendc.cli.main import main
from attendc.manifest import read_manifest

pytestmark = pytest.mark.slow  # whole folders are made and verified

Convert = Callable[..., int]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the folder goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "c"


@pytest.fixture
def convert(output: Path, temporary: Path) -> Convert:
    """Run `attendc convert` to ONNX; what is given comes after and wins."""
    return lambda source, *given: main(
        ["convert", str(source), "--to=onnx", "--images=40", "--max-drop=100", f"-o{output}", *given]
    )


def test_a_checkpoint_becomes_a_float_file(convert: Convert, output: Path, small_checkpoint: Path) -> None:
    assert convert(small_checkpoint, "--model=nets:small") == 0
    assert {p.name for p in output.iterdir()} == {"model.float32.onnx", "model.float32.pt2", *RUN_FILES}


def test_a_folder_becomes_int8_files_with_equal_integers(
    convert: Convert, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert convert(small_folder, "--dtype=int8", "--to=tflite,onnx") == 0
    out = capfd.readouterr().out
    assert "model.int8.tflite" in out
    assert "scales: equal; integer weights: equal; passed" in out


def test_json_is_the_manifest_and_all_of_stdout(
    convert: Convert, output: Path, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert convert(small_folder / "model.int8.pt2", "--dtype=int8", "--json") == 0
    assert json.loads(capfd.readouterr().out) == read_manifest(output)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (
            ["--dtype=int8"],
            2,
            "holds no quantized graph, of which int8 is made. attendc quantize makes a folder with both",
        ),
        (["--to=coreml"], 2, "coreml: choose from tflite, onnx, torchscript"),
        (["--dtype=int4"], 2, "int4: choose from int8, float32"),
        (["--data=nowhere"], 4, "no data at 'nowhere'"),
        (["--model=none:net"], 3, "No module named 'none'"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code_and_leaves_nothing(
    convert: Convert,
    output: Path,
    small_checkpoint: Path,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    code: int,
    text: str,
) -> None:
    assert convert(small_checkpoint, "--model=nets:small", *given) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert text in err.splitlines()[-1]
    assert list(output.parent.iterdir()) == []


def test_an_output_must_be_named(small_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(small_checkpoint)]) == 2
    assert "Missing option '-o' / '--output'" in capfd.readouterr().err


def test_a_folder_that_exists_is_kept_without_force(
    convert: Convert, output: Path, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output.mkdir()
    (output / "precious").touch()
    assert convert(small_folder) == 2
    assert "exists already. Add --force" in capfd.readouterr().err
    assert convert(small_folder, "--force") == 2
    assert [p.name for p in output.iterdir()] == ["precious"]
