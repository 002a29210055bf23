"""Pruning inside `attendc quantize`: one folder, from the checkpoint as it was down to the int8 files.

The small network is that of test_prune.py: with two of the four channels of `1.0` left it has 4916 MACs.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from attendc.compress.pruning.prune import PruneOptions
from attendc.context import Context
from attendc.converters.program import load_program
from attendc.data.sources import load_dataset
from attendc.errors import DataError, UsageError
from attendc.files import sha256
from attendc.jobs.convert import ConvertRequest, convert_source
from attendc.jobs.inspect import inspect_file
from attendc.jobs.quantize import QAT_OPTIONS, QuantizeRequest, quantize_checkpoint
from attendc.jobs.verify import VerifyRequest, prove_folder
from attendc.manifest import read_manifest
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.parity import Gates
from attendc.train import TrainOptions, accuracy

Manifest = dict[str, Any]

ONE_EPOCH = TrainOptions(epochs=1, batch_size=16, lr=4e-3)
TWO_LEFT = PruneOptions("macs", "4.92k", recover=ONE_EPOCH)
ROWS = ["as it was", "pruned", "batch norms measured again", "recovered", "int8 graph", "int8 tflite", "int8 onnx"]


def request_for(source: CheckpointRequest, output: Path) -> QuantizeRequest:
    """Ask for pruning, QAT and int8 files; the network knows nothing, so that accuracy means nothing."""
    return QuantizeRequest(
        source,
        output,
        calib=8,
        prune=TWO_LEFT,
        qat=dataclasses.replace(QAT_OPTIONS, epochs=1, batch_size=16),
        formats=("tflite", "onnx"),
        gates=Gates(max_drop_points=100),
    )


@pytest.fixture(scope="module")
def source(small_checkpoint: Path, small_npz: Path) -> CheckpointRequest:
    return CheckpointRequest(small_checkpoint, model="nets:small", data=str(small_npz))


@pytest.fixture(scope="module")
def folder(source: CheckpointRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what quantize makes with pruning and QAT."""
    output = tmp_path_factory.mktemp("pruned") / "q"
    quantize_checkpoint(request_for(source, output), Context(seed=2))
    return output


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder)


@pytest.fixture
def request_(source: CheckpointRequest, tmp_path: Path) -> QuantizeRequest:
    return request_for(source, tmp_path / "out" / "q")


def pruned(folder: Path, data: str) -> CheckpointRequest:
    return CheckpointRequest(folder / "model.pruned.safetensors", model="nets:small", data=data)


# What is in the folder


@pytest.mark.slow
def test_the_steps_go_from_the_checkpoint_down_to_the_int8_files(manifest: Manifest) -> None:
    assert [row["step"] for row in manifest["steps"]] == ROWS
    assert [row["macs"] for row in manifest["steps"]] == [7528] + 6 * [4916]
    assert [row["params"] for row in manifest["steps"]] == [242] + 6 * [146]


@pytest.mark.slow
def test_accuracy_after_each_step_is_of_the_same_test_images(
    manifest: Manifest, folder: Path, source: CheckpointRequest
) -> None:
    told = {row["step"]: row["accuracy"] for row in manifest["steps"]}
    found = open_checkpoint(source)
    after = open_checkpoint(pruned(folder, source.data))
    preprocess, test = found.spec.preprocess, load_dataset(source.data).test
    assert told["as it was"] == accuracy(found.model, test, preprocess)
    assert told["recovered"] == accuracy(after.model, test, preprocess)
    reached = manifest["verification"]["accuracy"]
    assert told["recovered"] == pytest.approx(reached["float"])
    assert {name: told[f"int8 {name}"] for name in ("graph", "tflite", "onnx")} == {
        name: reached[name] for name in ("graph", "tflite", "onnx")
    }


@pytest.mark.slow
def test_the_pruned_checkpoint_computes_what_the_float_graph_computes(
    folder: Path, source: CheckpointRequest, seen: torch.Tensor
) -> None:
    network = open_checkpoint(pruned(folder, source.data)).model
    graph = load_program(folder / "model.float32.pt2").graph
    with torch.no_grad():
        torch.testing.assert_close(graph(seen), network(seen), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_history_and_pruning_tell_what_was_taken(manifest: Manifest, folder: Path, source: CheckpointRequest) -> None:
    assert [step["step"] for step in manifest["history"]] == ["prune", "ptq", "qat"]
    told = manifest["pruning"]
    assert told["plan"]["layers"]["1.0"]["of"] == 4
    assert len(told["plan"]["layers"]["1.0"]["keep"]) == 2
    assert told["refused"] == {"4": "its outputs are the network's"}
    assert told["rounds"][0]["budget"] == {"unit": "macs", "limit": 4920, "whole": 7528}
    path = folder / "model.pruned.safetensors"
    entry = {"format": "safetensors", "dtype": "float32", "sha256": sha256(path), "bytes": path.stat().st_size}
    assert manifest["outputs"][path.name] == entry
    assert manifest["inputs"]["checkpoint"]["sha256"] == sha256(source.path)
    assert (manifest["model"]["params"], manifest["model"]["macs"]) == (146, 4916)


@pytest.mark.slow
def test_inspect_reads_the_pruned_checkpoint(folder: Path, source: CheckpointRequest) -> None:
    told = inspect_file(pruned(folder, source.data))
    assert (told["macs"], told["params"]) == (4916, 146)


@pytest.mark.slow
def test_the_folder_can_be_verified_again(folder: Path, source: CheckpointRequest) -> None:
    report = prove_folder(VerifyRequest(folder, data=source.data, gates=Gates(max_drop_points=100)), Context())
    assert report["passed"]


@pytest.mark.slow
def test_the_folder_can_be_converted_again(folder: Path, source: CheckpointRequest, tmp_path: Path) -> None:
    request = ConvertRequest(
        CheckpointRequest(folder, data=source.data),
        tmp_path / "c",
        formats=("onnx",),
        dtypes=("int8", "float32"),
        gates=Gates(max_drop_points=100),
    )
    report = convert_source(request, Context())["verification"]
    assert (report["passed"], report["scales_equal"], report["weights_equal"]) == (True, True, True)


@pytest.mark.slow
def test_without_pruning_there_is_no_trace_of_it(request_: QuantizeRequest) -> None:
    plain = dataclasses.replace(request_, prune=None, qat=None, formats=("onnx",), dtypes=("int8",))
    manifest = quantize_checkpoint(plain, Context())
    assert {"pruning", "steps"} & manifest.keys() == set()
    assert not (request_.output / "model.pruned.safetensors").exists()


# What is refused, leaving nothing


def test_pruning_without_images_is_refused(request_: QuantizeRequest) -> None:
    with pytest.raises(UsageError, match=r"--prune needs images\. Leave out --calib random, or leave out --prune"):
        quantize_checkpoint(dataclasses.replace(request_, calib="random", qat=None), Context())
    assert not request_.output.parent.exists()


def test_a_budget_that_cannot_be_met_is_refused(request_: QuantizeRequest) -> None:
    with pytest.raises(UsageError, match=r"the budget macs=3k cannot be met: nothing more can go: 3,610 macs are left"):
        quantize_checkpoint(dataclasses.replace(request_, prune=dataclasses.replace(TWO_LEFT, amount="3k")), Context())
    assert not request_.output.parent.exists()


def test_recovery_that_fails_leaves_no_folder(request_: QuantizeRequest) -> None:
    too_large = dataclasses.replace(TWO_LEFT, recover=dataclasses.replace(ONE_EPOCH, batch_size=61))
    with pytest.raises(DataError, match="57 training images make no batch of 61"):
        quantize_checkpoint(dataclasses.replace(request_, prune=too_large), Context())
    assert not request_.output.parent.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(request_: QuantizeRequest) -> None:
    with pytest.raises(UsageError, match=r"no CUDA device is available\. Use --device cpu"):
        quantize_checkpoint(dataclasses.replace(request_, prune=None), Context(device="cuda"))
    assert not request_.output.parent.exists()
