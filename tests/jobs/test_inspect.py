"""What a file holds, whatever it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from nets import NANO, SMALL, SMALL_SPEC, small, tiny

from attendc.checkpoint import save_checkpoint
from attendc.errors import CheckpointError
from attendc.files import sha256
from attendc.jobs.inspect import inspect_file
from attendc.metrics import count_macs, count_params
from attendc.opening import CheckpointRequest
from attendc.types import Architecture

COMMON = {"format", "bytes", "ops", "float_ops", "transposes", "inputs", "outputs"}


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_of_a_file_for_a_runtime_the_operators_and_types_are_told(small_folder: Path, kind: str) -> None:
    path = small_folder / f"model.int8.{kind}"
    found = inspect_file(CheckpointRequest(path))
    assert found.keys() >= COMMON
    assert (found["format"], found["bytes"]) == (kind, path.stat().st_size)
    assert (found["float_ops"], found["transposes"]) == (0, 0)
    assert sum(found["ops"].values()) > 0


def test_a_float_file_has_float_operators(small_folder: Path) -> None:
    found = inspect_file(CheckpointRequest(small_folder / "model.float32.tflite"))
    assert found["float_ops"] == sum(found["ops"].values()) > 0


def test_tflite_takes_rows_columns_channels_in_int8(small_folder: Path) -> None:
    (image,) = inspect_file(CheckpointRequest(small_folder / "model.int8.tflite"))["inputs"]
    assert (image["shape"], image["dtype"]) == ([1, 8, 8, 1], "int8")


def test_onnx_takes_any_number_of_images(small_folder: Path) -> None:
    (image,) = inspect_file(CheckpointRequest(small_folder / "model.int8.onnx"))["inputs"]
    assert (image["shape"], image["dtype"]) == (["batch", 1, 8, 8], "float32")


def test_of_a_graph_its_quantized_layers_spec_and_stamp_are_told(small_folder: Path) -> None:
    path = small_folder / "model.int8.pt2"
    found = inspect_file(CheckpointRequest(path))
    assert (found["format"], found["bytes"]) == ("pt2", path.stat().st_size)
    assert found["quantized_layers"] == 4  # two convolutions, the pool as a convolution, the linear layer
    assert found["spec"]["preprocess"]["height"] == 8
    assert found["metadata"]["dtype"] == "int8"


def test_of_a_float_graph_nothing_is_quantized(small_folder: Path) -> None:
    found = inspect_file(CheckpointRequest(small_folder / "model.float32.pt2"))
    assert (found["quantized_layers"], found["quantized_tensors"]) == (0, 0)


def test_of_a_checkpoint_parameters_macs_and_spec_are_told() -> None:
    found = inspect_file(CheckpointRequest(NANO))
    assert found["format"] == "checkpoint"
    assert (found["bytes"], found["sha256"]) == (NANO.stat().st_size, sha256(NANO))
    assert 0 < found["params"] <= 200_000
    assert found["spec"]["architecture"]["factory"] == "attendnext"
    assert len(found["spec"]["labels"]) == 10


def test_parameters_and_macs_are_those_of_the_network(small_checkpoint: Path) -> None:
    found = inspect_file(CheckpointRequest(small_checkpoint, model="nets:small"))
    net = small("conv_bn_relu")
    assert found["params"] == count_params(net) == 242  # 9*4+4, 9*4*4, 4+4, 4*10+10
    assert found["macs"] == count_macs(net, SMALL.input_shape)


class Choosy(torch.nn.Sequential):
    """A classifier of 1x8x8 whose forward asks what is in its input, which torch.export cannot follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x)
        return y if y.sum() > 0 else -y


def choosy() -> Choosy:
    return Choosy(torch.nn.Flatten(1), torch.nn.Linear(64, 10))


@pytest.fixture
def untraceable(tmp_path: Path) -> CheckpointRequest:
    architecture = Architecture(f"{__name__}:choosy")
    save_checkpoint(tmp_path / "x.safetensors", choosy(), dataclasses.replace(SMALL_SPEC, architecture=architecture))
    return CheckpointRequest(tmp_path / "x.safetensors", model=f"{__name__}:choosy")


def test_of_a_checkpoint_that_cannot_be_traced_the_facts_are_told_and_why_not_more(
    untraceable: CheckpointRequest,
) -> None:
    found = inspect_file(untraceable)
    assert (found["params"], found["macs"], "layers" in found) == (64 * 10 + 10, 64 * 10, False)
    assert found["no_layers"].startswith("torch.export cannot trace the network: ")
    assert "no_layers" not in inspect_file(untraceable, layers=False)


def test_one_that_cannot_be_traced_cannot_be_drawn(untraceable: CheckpointRequest, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"torch\.export cannot trace the network: .* must not branch on values"):
        inspect_file(untraceable, drawing=tmp_path / "x.svg")
    assert not (tmp_path / "x.svg").exists()


def test_of_one_that_does_not_take_its_input_the_macs_are_unknown(small_checkpoint: Path) -> None:
    found = inspect_file(CheckpointRequest(small_checkpoint, model="nets:small", input_shape=(3, 8, 8)))
    assert (found["params"], found["macs"]) == (242, None)
    assert found["no_layers"].startswith("the network does not take an input of shape (2, 3, 8, 8): ")


@pytest.mark.parametrize("name", ["x.tflite", "x.onnx", "x.pt2", "x.safetensors", "x.pt"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01nothing of the kind", b"\x1c\0\0\0TFL3"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        inspect_file(CheckpointRequest(tmp_path / name))


@pytest.mark.parametrize("kind", ["tflite", "onnx", "pt2"])
def test_half_a_file_is_refused(small_folder: Path, tmp_path: Path, kind: str) -> None:
    content = (small_folder / f"model.int8.{kind}").read_bytes()
    (tmp_path / f"half.{kind}").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=f"half.{kind}"):
        inspect_file(CheckpointRequest(tmp_path / f"half.{kind}"))


def test_a_graph_of_somebody_else_s_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(tiny().eval(), (torch.zeros(1, 1, 16, 16),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(CheckpointError, match=r"other\.pt2 is no quantized graph of attendc's"):
        inspect_file(CheckpointRequest(tmp_path / "other.pt2"))


@pytest.mark.parametrize("name", ["none.tflite", "none.onnx", "none.pt2", "none.safetensors"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"no file .*Give a checkpoint .*, a \.tflite"):
        inspect_file(CheckpointRequest(tmp_path / name))


def test_what_cannot_be_read_is_told_what_can(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("no model")
    with pytest.raises(CheckpointError, match=r"x\.txt ends in \.txt\. Give a checkpoint .* a SavedModel"):
        inspect_file(CheckpointRequest(tmp_path / "x.txt"))


def test_a_folder_of_somebody_else_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a folder without manifest\.json or saved_model\.pb"):
        inspect_file(CheckpointRequest(tmp_path))


def test_of_a_folder_of_attendc_the_files_are_listed(small_folder: Path) -> None:
    files = inspect_file(CheckpointRequest(small_folder))["files"]
    assert files["model.int8.tflite"]["bytes"] == (small_folder / "model.int8.tflite").stat().st_size
    assert files.keys() >= {"model.int8.tflite", "model.int8.onnx", "model.int8.pt2"}
