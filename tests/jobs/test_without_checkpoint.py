"""A model without a checkpoint becomes files that say so everywhere; so do files that nobody proved."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import RUN_FILES, SMALL, TINY

import attendc
from attendc.artefacts import inspect_artefact
from attendc.context import Context
from attendc.converters.program import load_program
from attendc.converters.tflite_schema import read_model
from attendc.errors import DataError, UsageError
from attendc.jobs.convert import ConvertRequest, convert_source
from attendc.jobs.quantize import QAT_OPTIONS, QuantizeRequest, quantize_checkpoint
from attendc.manifest import read_manifest
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.runtimes import tflite_runner

pytestmark = pytest.mark.slow  # whole folders are made

RANDOM = "random (seed 0), not trained"
CAVEAT = f"weights: {RANDOM}; not verified"
FRESH = CheckpointRequest(model="nets:small", model_args={"middle": "conv_bn_relu"}, input_shape=(1, 8, 8))
FORMATS = ("tflite", "onnx", "torchscript", "savedmodel")


def request(output: Path, **changed: Any) -> QuantizeRequest:
    """Ask for the int8 TFLite file of a network without a checkpoint, calibrated on random inputs, not verified."""
    asked = QuantizeRequest(FRESH, output, calib="random", formats=("tflite",), dtypes=("int8",), verify=False)
    return dataclasses.replace(asked, **changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a network without a checkpoint, in every format."""
    folder = tmp_path_factory.mktemp("fresh") / "out"
    quantize_checkpoint(request(folder, formats=FORMATS, dtypes=("int8", "float32"), cached=False), Context())
    return folder


def test_the_folder_has_all_that_a_run_has(folder: Path) -> None:
    suffixes = ("tflite", "onnx", "ts.pt", "savedmodel", "pt2")
    names = {f"model.{dtype}.{suffix}" for dtype in ("int8", "float32") for suffix in suffixes}
    assert {p.name for p in folder.iterdir()} == {*names, *RUN_FILES}


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_artefact_says_what_it_is(folder: Path, kind: str, dtype: str) -> None:
    name = f"model.{dtype}.{ {'torchscript': 'ts.pt'}.get(kind, kind) }"
    found = inspect_artefact(kind, folder / name)["metadata"]
    prefix = "attendc." if kind == "onnx" else ""
    assert (found[f"{prefix}weights"], found[f"{prefix}verification"]) == (RANDOM, "not verified")


def test_the_tflite_file_says_it_in_its_description_too(folder: Path) -> None:
    assert read_model(folder / "model.int8.tflite").description.decode().endswith(f"int8, NHWC; {CAVEAT}")


def test_the_graphs_say_it(folder: Path) -> None:
    stamps = [load_program(folder / f"model.{dtype}.pt2").stamp for dtype in ("int8", "float32")]
    assert [(one["weights"], one["verification"]) for one in stamps] == [(RANDOM, "not verified")] * 2


def test_manifest_report_and_card_say_it(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest["caveat"] == CAVEAT
    assert "verification" not in manifest
    assert manifest["warnings"][:2] == [f"weights: {RANDOM}", "not verified"]
    assert CAVEAT in (folder / "report.html").read_text()
    assert (
        '<p class="state" id="verdict"><span class="sign" aria-hidden="true">?' in (folder / "report.html").read_text()
    )
    assert f"Not to be relied on: {CAVEAT}." in (folder / "MODEL_CARD.md").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert (report["caveat"], report["verdict"]["state"]) == (CAVEAT, "unproven")


def test_the_int8_file_computes_and_its_ranges_are_those_of_numbers(folder: Path) -> None:
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    ours, floating = (tflite_runner(folder / f"model.{dtype}.tflite")(x) for dtype in ("int8", "float32"))
    assert float((ours - floating).abs().mean()) < 0.5 * float(floating.std(0).mean())


def test_what_is_made_of_it_later_and_proven_still_has_random_weights(folder: Path, tmp_path: Path) -> None:
    asked = ConvertRequest(CheckpointRequest(folder), tmp_path / "c", formats=("onnx",), dtypes=("float32",))
    manifest = convert_source(dataclasses.replace(asked, verify=False, cached=False), Context())
    assert manifest["caveat"] == CAVEAT
    proven = dataclasses.replace(
        asked,
        source=CheckpointRequest(folder, data="fashion-mnist-mini"),
        output=tmp_path / "p",
        images=20,
        gates=Gates(max_drop_points=100),
    )
    manifest = convert_source(proven, Context())
    assert manifest["caveat"] == f"weights: {RANDOM}"
    assert f"weights: {RANDOM}" in manifest["warnings"]
    assert manifest["verification"]["passed"]


def test_a_model_is_converted_without_a_checkpoint_too(tmp_path: Path) -> None:
    asked = ConvertRequest(FRESH, tmp_path / "c", formats=("torchscript",), verify=False)
    assert convert_source(asked, Context())["caveat"] == CAVEAT
    with zipfile.ZipFile(tmp_path / "c" / "model.float32.ts.pt") as archive:
        told = next(archive.read(name) for name in archive.namelist() if name.endswith("attendc.json"))
    assert json.loads(told)["verification"] == "not verified"


def test_the_seed_decides_the_weights_and_the_place_in_the_cache(tmp_path: Path) -> None:
    first, again, other = (
        quantize_checkpoint(request(tmp_path / name), Context(seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    hashes = [one["outputs"]["model.int8.tflite"]["sha256"] for one in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert [one["stages"][0]["cached"] for one in (first, again, other)] == [False, True, False]
    assert other["caveat"] == "weights: random (seed 1), not trained; not verified"


def test_a_checkpoint_that_is_not_verified_says_only_that(small_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = CheckpointRequest(small_checkpoint, model="nets:small")
    manifest = quantize_checkpoint(request(tmp_path / "q", checkpoint=checkpoint, calib=8), Context())
    assert (manifest["caveat"], [stage["step"] for stage in manifest["stages"]]) == (
        "not verified",
        ["quantize", "convert"],
    )
    assert "weights" not in inspect_artefact("tflite", tmp_path / "q" / "model.int8.tflite")["metadata"]


def test_random_weights_may_be_verified_on_random_inputs(tmp_path: Path) -> None:
    manifest = quantize_checkpoint(request(tmp_path / "q", verify=True, images=20), Context())
    assert (manifest["caveat"], manifest["verification"]["passed"]) == (f"weights: {RANDOM}", True)


def test_data_or_random_inputs_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data is known.*--calib random"):
        quantize_checkpoint(request(tmp_path / "q", calib=8), Context())


def test_random_weights_are_not_trained_further(tmp_path: Path) -> None:
    checkpoint = dataclasses.replace(FRESH, data="fashion-mnist-mini")
    with pytest.raises(UsageError, match="--qat has nothing to keep: the weights are random"):
        quantize_checkpoint(request(tmp_path / "q", checkpoint=checkpoint, calib=8, qat=QAT_OPTIONS), Context())


def test_a_recipe_names_the_model_alone(tmp_path: Path) -> None:
    path = tmp_path / "cost.yaml"
    path.write_text(f"""version: 1
model: {{name: attendnext_nano, classes: 7, args: {json.dumps({**TINY, "classes": 5})}, input_shape: [1, 16, 16]}}
stages:
  - quantize: {{calib: random, ranges: minmax}}
  - convert: {{to: [tflite], dtypes: [int8]}}
""")
    run = attendc.run_recipe(path, options=attendc.RunOptions(output=tmp_path / "run"))
    assert run.manifest["caveat"] == CAVEAT
    assert run.manifest["model"]["architecture"]["args"]["classes"] == 7
    assert tflite_runner(tmp_path / "run" / "model.int8.tflite")(torch.zeros(1, 1, 16, 16)).shape == (1, 7)


def test_the_input_of_the_spec_is_that_of_the_request(folder: Path) -> None:
    preprocess = load_program(folder / "model.int8.pt2").spec.preprocess
    assert preprocess == dataclasses.replace(SMALL, mean=(0.5,), std=(0.5,))
