"""A checkpoint, a saved graph or a folder becomes files for runtimes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import RUN_FILES, SMALL, small

from attendc.context import Context
from attendc.converters.program import load_program
from attendc.converters.read_onnx import onnx_quant_table
from attendc.converters.read_tflite import tflite_quant_table
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError, ParityError, UsageError
from attendc.files import sha256
from attendc.jobs.convert import ConvertRequest, convert_source
from attendc.manifest import read_manifest
from attendc.opening import CheckpointRequest
from attendc.parity import Gates

pytestmark = pytest.mark.slow  # whole folders are made and verified

LOOSE = Gates(max_drop_points=100)


@pytest.fixture
def request_(small_checkpoint: Path, tmp_path: Path) -> ConvertRequest:
    """Ask for the float32 ONNX file of a small checkpoint."""
    source = CheckpointRequest(small_checkpoint, model="nets:small")
    return ConvertRequest(source, tmp_path / "out" / "c", formats=("onnx",), gates=LOOSE, images=40)


def run(request: ConvertRequest, source: Path | None = None, **changed: Any) -> dict[str, Any]:
    if source is not None:
        changed["source"] = CheckpointRequest(source)
    return convert_source(dataclasses.replace(request, **changed), Context())


def test_a_checkpoint_becomes_float_artefacts_in_every_format(request_: ConvertRequest) -> None:
    manifest = run(request_, formats=("tflite", "onnx", "torchscript"))
    names = {f"model.float32.{suffix}" for suffix in ("tflite", "onnx", "ts.pt", "pt2")}
    assert set(manifest["outputs"]) == names
    assert {p.name for p in request_.output.iterdir()} == {*names, *RUN_FILES}
    assert manifest["verification"]["passed"]


def test_the_manifest_tells_the_source(request_: ConvertRequest, small_checkpoint: Path) -> None:
    run(request_)
    manifest = read_manifest(request_.output)
    size = small_checkpoint.stat().st_size
    source = {"path": str(small_checkpoint), "sha256": sha256(small_checkpoint), "bytes": size, "trusted": False}
    assert manifest["inputs"] == {"checkpoint": source, "data": "fashion-mnist-mini"}
    assert (manifest["command"], manifest["seed"]) == ("convert", 0)


def test_a_float_artefact_computes_what_the_network_computes(request_: ConvertRequest) -> None:
    run(request_)
    graph = load_program(request_.output / "model.float32.pt2").graph
    x = torch.randn(3, *SMALL.input_shape)
    assert torch.allclose(graph(x), small("conv_bn_relu")(x), atol=1e-5)


@pytest.mark.parametrize("name", ["", "model.int8.pt2"])
def test_a_folder_or_its_graph_gives_the_same_integers_and_scales(
    request_: ConvertRequest, small_folder: Path, name: str
) -> None:
    manifest = run(request_, small_folder / name, formats=("tflite", "onnx"), dtypes=("int8",))
    assert (manifest["verification"]["scales_equal"], manifest["verification"]["weights_equal"]) == (True, True)
    for read, file in ((tflite_quant_table, "model.int8.tflite"), (onnx_quant_table, "model.int8.onnx")):
        assert read(request_.output / file) == read(small_folder / file)


def test_the_provenance_goes_on_into_what_is_converted(
    request_: ConvertRequest, small_folder: Path, small_checkpoint: Path
) -> None:
    run(request_, small_folder, dtypes=("int8",))
    stamp = load_program(request_.output / "model.int8.pt2").stamp
    assert (stamp["checkpoint_sha256"], stamp["calibration"]) == (sha256(small_checkpoint), "fashion-mnist-mini")


def test_both_dtypes_come_from_a_folder(request_: ConvertRequest, small_folder: Path) -> None:
    outputs = run(request_, small_folder, dtypes=("int8", "float32"))["outputs"]
    assert {"model.int8.onnx", "model.float32.onnx"} <= outputs.keys()


def test_another_border_changes_no_integer(request_: ConvertRequest, small_folder: Path) -> None:
    run(request_, small_folder, formats=("tflite",), dtypes=("int8",), io="uint8")
    tables = [tflite_quant_table(f / "model.int8.tflite") for f in (request_.output, small_folder)]
    assert list(tables[0].layers.values()) == list(tables[1].layers.values())


@pytest.mark.parametrize(
    ("name", "dtypes", "text"),
    [
        (
            "model.float32.pt2",
            ("int8",),
            r"holds no quantized graph, of which int8 is made\. attendc quantize makes a folder with both",
        ),
        ("model.int8.pt2", ("float32",), r"holds no float graph, of which float32 is made\. Give the folder instead"),
        (
            "model.int8.pt2",
            ("int8", "float32"),
            r"holds no float graph, of which float32 is made\. Give the folder instead",
        ),
    ],
)
def test_a_graph_of_the_other_dtype_is_refused(
    request_: ConvertRequest, small_folder: Path, name: str, dtypes: tuple[str, ...], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        run(request_, small_folder / name, dtypes=dtypes)
    assert not request_.output.parent.exists()


def test_int8_of_a_plain_checkpoint_is_refused(request_: ConvertRequest) -> None:
    with pytest.raises(
        UsageError, match=r"small\.safetensors holds no quantized graph, of which int8 is made\. attendc quantize makes"
    ):
        run(request_, dtypes=("int8",))


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("", UsageError, r"holds no model\.int8\.pt2"),
        ("none.pt2", CheckpointError, r"no file .*none\.pt2"),
        ("none.pt", CheckpointError, r"no file .*none\.pt"),
        ("text.pt2", CheckpointError, r"text\.pt2 is no quantized graph of attendc's"),
        ("text.tflite", CheckpointError, r"text\.tflite ends in \.tflite"),
    ],
)
def test_what_is_no_source_is_refused(
    request_: ConvertRequest, tmp_path: Path, name: str, error: type[AttendcError], text: str
) -> None:
    for file in ("text.pt2", "text.tflite"):
        (tmp_path / file).write_text("text")
    with pytest.raises(error, match=text):
        run(request_, tmp_path / name)
    assert not request_.output.parent.exists()


def test_data_that_does_not_fit_is_refused(request_: ConvertRequest) -> None:
    nowhere = dataclasses.replace(request_, source=dataclasses.replace(request_.source, data="nowhere"))
    with pytest.raises(DataError, match="no data at 'nowhere'"):
        run(nowhere)


def test_a_failed_gate_leaves_nothing_behind(request_: ConvertRequest) -> None:
    with pytest.raises(ParityError, match=r"float and onnx_float32 agree on 100\.00%"):
        run(request_, gates=Gates(min_agreement=1.01))
    assert not request_.output.parent.exists()


def test_an_existing_folder_is_kept_without_force(request_: ConvertRequest) -> None:
    request_.output.mkdir(parents=True)
    (request_.output / "mine").touch()
    with pytest.raises(OutputError, match="exists already"):
        run(request_)
    with pytest.raises(OutputError, match="was not made by attendc"):
        run(request_, force=True)
    assert [p.name for p in request_.output.iterdir()] == ["mine"]
