"""`attendc inspect` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nets import NANO

from attendc.cli.main import main

pytestmark = pytest.mark.slow  # whole folders are made to look into

RUNTIME = {"format", "bytes", "ops", "float_ops", "transposes", "inputs", "outputs"}


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("model.int8.tflite", RUNTIME),
        ("model.float32.tflite", RUNTIME),
        ("model.int8.onnx", RUNTIME),
        ("model.int8.pt2", {"format", "bytes", "quantized_layers", "quantized_tensors", "spec", "metadata"}),
    ],
)
def test_json_is_one_object_with_these_keys(
    small_folder: Path, capfd: pytest.CaptureFixture[str], name: str, keys: set[str]
) -> None:
    assert main(["inspect", str(small_folder / name), "--json"]) == 0
    out, err = capfd.readouterr()
    assert keys <= json.loads(out).keys()
    assert err == ""


@pytest.mark.usefixtures("temporary")
def test_of_a_checkpoint_it_has_params_macs_and_spec(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(NANO), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert {"params", "macs", "spec"} <= found.keys()
    assert found["spec"]["data"] == "fashion-mnist-mini"


@pytest.mark.usefixtures("temporary")
def test_without_json_it_is_a_table(small_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(small_folder / "model.int8.onnx")]) == 0
    out = capfd.readouterr().out
    for text in ("what", "value", "float_ops", "transposes", "QuantizeLinear"):
        assert text in out


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("name", ["none.tflite", "text.tflite", "text.onnx", "text.pt2", "text.pt", "text.txt", ""])
def test_what_is_missing_damaged_or_of_another_kind_exits_with_3(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    for suffix in ("tflite", "onnx", "pt2", "pt", "txt"):
        (tmp_path / f"text.{suffix}").write_text("no model")
    assert main(["inspect", str(tmp_path / name)]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert str(tmp_path / name) in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("temporary")
def test_graph_draws_once_and_again_with_force(
    small_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["inspect", str(small_folder / "model.int8.tflite"), f"--graph={tmp_path / 'net.svg'}", "--no-layers"]
    assert main(command) == 0
    assert f"drawing: {tmp_path / 'net.svg'}" in capfd.readouterr().out
    drawn = (tmp_path / "net.svg").read_bytes()
    assert main(command) == 2
    assert "net.svg exists already. Add --force" in capfd.readouterr().err
    assert main([*command, "--force"]) == 0
    assert (tmp_path / "net.svg").read_bytes() == drawn


@pytest.mark.usefixtures("temporary")
def test_a_drawing_is_an_svg(small_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(small_folder / "model.int8.tflite"), f"--graph={tmp_path / 'net.png'}"]) == 2
    assert "net.png does not end in .svg" in capfd.readouterr().err


@pytest.mark.usefixtures("temporary")
def test_of_a_network_that_cannot_be_run_it_says_in_a_line_why_there_are_no_layers(
    small_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["inspect", str(small_checkpoint), "--model=nets:small", "--input-shape=3x8x8"]
    assert main(command) == 0
    out = capfd.readouterr().out
    assert "params" in out
    assert "no layers: the network does not take an input of shape (2, 3, 8, 8): " in out
    assert main([*command, f"--graph={tmp_path / 'net.svg'}"]) == 3
    err = capfd.readouterr().err
    assert err.startswith("error: the network does not take an input")
    assert err.count("\n") == 1
