"""`attendc quantize --prune` as typed: one command from a checkpoint to a smaller one and its proven int8 files.

The small network is that of tests/jobs/test_prune.py: at most 0.7 of its 7528 MACs leaves 4916 and 146 parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import cells, nothing_left, told

from attendc.cli.main import main
from attendc.manifest import read_manifest

Quantize = Callable[..., int]
PRUNED = ["--prune=macs=0.7,epochs=1,batch_size=16"]
TRAINED = ["--qat", "--epochs=1", "--batch-size=16"]


@pytest.fixture
def data(small_npz: Path) -> str:
    """Return the option that names 60 training and 20 test images."""
    return f"--data={small_npz}"


@pytest.fixture(scope="module")
def folder(small_checkpoint: Path, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what one command makes: pruned, quantized, trained."""
    folder = tmp_path_factory.mktemp("one") / "q"
    given = ["--int8", "--model=nets:small", f"--data={small_npz}", "--calib=8", "--max-drop=100", f"-o{folder}"]
    assert main(["quantize", str(small_checkpoint), *given, *PRUNED, *TRAINED, "--to=tflite,onnx"]) == 0
    return folder


# One command


@pytest.mark.slow
def test_stdout_has_a_table_of_the_steps_before_that_of_the_files(
    quantize: Quantize, data: str, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(data, *PRUNED, *TRAINED) == 0
    out, err = capfd.readouterr()
    steps, files = out.split(f"{output}: verified on 20 images")
    rows = cells(steps)
    assert [row[:2] for row in rows] == [
        ["as it was", "7,528"],
        ["pruned", "4,916"],
        ["batch norms measured again", "4,916"],
        ["recovered", "4,916"],
        ["int8 graph", "4,916"],
        ["int8 onnx", "4,916"],
    ]
    assert [row[5] for row in rows] == [f"{row['accuracy']:.2%}" for row in read_manifest(output)["steps"]]
    assert "model.int8.onnx" in files
    assert err.index("batch norms: 60/60") < err.index("calibrate: 8/8")


@pytest.mark.slow
def test_json_is_the_manifest_and_all_of_stdout(
    quantize: Quantize, data: str, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(data, *PRUNED, "--json") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == read_manifest(output)
    assert [row["step"] for row in printed["steps"]][-2:] == ["int8 graph", "int8 onnx"]


@pytest.mark.slow
def test_several_times_prune_is_as_good_as_commas(quantize: Quantize, data: str, output: Path) -> None:
    assert quantize(data, "--prune=macs=0.7", "--prune=importance=l2, epochs=0") == 0
    config = read_manifest(output)["recipe"]["stages"][0]["prune"]
    assert (config["macs"], config["importance"], config["epochs"]) == ("0.7", "l2", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_the_folder_passes_verify_and_convert(folder: Path, tmp_path: Path) -> None:
    given = ["--max-drop=100"]
    assert main(["verify", str(folder), *given]) == 0
    assert main(["convert", str(folder), *given, "--to=onnx", "--dtype=int8,float32", f"-o{tmp_path / 'c'}"]) == 0
    assert (tmp_path / "c" / "model.int8.onnx").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_the_pruned_checkpoint_in_it_is_one_like_others(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pruned = str(folder / "model.pruned.safetensors")
    assert main(["inspect", pruned, "--model=nets:small", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["macs"], found["params"]) == (4916, 146)
    given = ["--model=nets:small", "--macs=0.75", "--epochs=0", f"-o{tmp_path / 'x.safetensors'}"]
    assert main(["prune", pruned, *given]) == 0  # its Spec knows the data


# What is refused


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--prune=epochs=1"], "error: --prune names no budget. Give one of macs=0.5, params=0.5, bytes=100k"),
        (["--prune=macs=0.5,params=0.5"], "error: --prune names several budgets: macs, params. Give one of"),
        (["--prune=macs=0.5,bytes=9k,params=0.5"], "error: --prune names several budgets: macs, params, bytes"),
        (["--prune=macs"], "Invalid value for --prune: 'macs' is not K=V"),
        (["--prune="], "Invalid value for --prune: '' is not K=V"),
        (["--prune=macs=0.5,"], "Invalid value for --prune: '' is not K=V"),
        (["--prune=macs=abc"], "error: macs=abc is no budget. Give a part such as macs=0.5"),
        (["--prune=macs=1.5"], "error: macs=1.5 is no budget"),
        (["--prune=macs=true"], "is no budget"),
        (["--prune=macs=0.1,epochs=0"], "error: the budget macs=0.1 cannot be met: nothing more can go: 3,610 macs"),
        (["--prune=macs=0.7,epoch=1"], "error: --prune epoch=1 is not possible. Beside a budget it takes importance="),
        (["--prune=macs=0.7,epochs=-1"], "error: --prune epochs=-1 is not possible"),
        (["--prune=macs=0.7,epochs=1.5"], "error: --prune epochs=1.5 is not possible"),
        (["--prune=macs=0.7,epochs=true"], "error: --prune epochs=True is not possible"),
        (["--prune=macs=0.7,steps=0"], "error: --prune steps=0 is not possible"),
        (["--prune=macs=0.7,lr=NaN"], "error: --prune lr=nan is not possible"),
        (["--prune=macs=0.7,importance=l3"], "error: --prune importance=l3 is not possible"),
        (["--prune=macs=0.7,sensitivity=1"], "error: --prune sensitivity=1 is not possible"),
        (["--prune=macs=0.7", "--calib=random"], "error: --prune needs images. Leave out --calib random, or leave"),
        (["--prune=macs=0.7", "--epochs=1"], "error: --epochs means nothing without --qat. Add --qat"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(
    quantize: Quantize, data: str, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], text: str
) -> None:
    assert quantize(data, *given) == 2
    assert text in told(capfd)
    assert nothing_left(output)


def test_too_few_images_for_a_batch_of_recovery_exits_with_4(
    quantize: Quantize, data: str, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(data, "--prune=macs=0.7,epochs=1,batch_size=61") == 4
    assert "57 training images make no batch of 61" in told(capfd)
    assert nothing_left(output)
