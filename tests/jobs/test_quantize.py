"""The main job: what is in the folder, and what the manifest says of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import PICO, RUN_FILES, small
from safetensors.torch import save_file

from attendc.arm.check.partitions import partitions_of
from attendc.artefacts import inspect_artefact
from attendc.checkpoint import read_weights, save_checkpoint
from attendc.context import Context
from attendc.converters.program import load_program
from attendc.data.preprocess import random_images
from attendc.errors import AccuracyError, AttendcError, ConversionError, DataError, OutputError, ParityError, UsageError
from attendc.files import sha256
from attendc.jobs.quantize import QAT_OPTIONS, QuantizeRequest, quantize_checkpoint
from attendc.jobs.verify import VerifyRequest, prove_folder
from attendc.manifest import read_manifest
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.parity import Gates
from attendc.types import Architecture

pytestmark = pytest.mark.slow  # whole folders are made and verified

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def shipped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what `attendc quantize` makes of the shipped checkpoint."""
    folder = tmp_path_factory.mktemp("quantized") / "pico-int8"
    quantize_checkpoint(QuantizeRequest(CheckpointRequest(PICO), folder, calib=32, images=100), Context(seed=3))
    return folder


@pytest.fixture(scope="module")
def manifest(shipped_folder: Path) -> Manifest:
    """Return the manifest of the shipped checkpoint's folder."""
    return read_manifest(shipped_folder)


@pytest.fixture
def request_(small_checkpoint: Path, tmp_path: Path) -> QuantizeRequest:
    """Ask for the int8 ONNX file of a small net; it knows nothing, so that accuracy means nothing."""
    source = CheckpointRequest(small_checkpoint, model="nets:small")
    gates = Gates(max_drop_points=100)
    return QuantizeRequest(
        source, tmp_path / "out" / "q", calib=8, images=40, formats=("onnx",), dtypes=("int8",), gates=gates
    )


def run(request: QuantizeRequest, context: Context | None = None, **changed: Any) -> Manifest:
    return quantize_checkpoint(dataclasses.replace(request, **changed), context or Context())


def left(request: QuantizeRequest) -> list[str]:
    """Return what is in the folder where the output would be, if that is there."""
    parent = request.output.parent
    return [p.name for p in parent.iterdir()] if parent.exists() else []


# The shipped checkpoint


def test_the_folder_holds_what_the_manifest_lists_and_nothing_else(shipped_folder: Path, manifest: Manifest) -> None:
    expected = {f"model.{d}.{s}" for d in ("int8", "float32") for s in ("tflite", "onnx", "ts.pt", "pt2")}
    assert set(manifest["outputs"]) == expected
    assert {p.name for p in shipped_folder.iterdir()} == {*manifest["outputs"], *RUN_FILES}


def test_hashes_and_bytes_are_those_of_the_files(shipped_folder: Path, manifest: Manifest) -> None:
    files = {name: shipped_folder / name for name in manifest["outputs"]}
    told = {name: (entry["sha256"], entry["bytes"]) for name, entry in manifest["outputs"].items()}
    assert told == {name: (sha256(path), path.stat().st_size) for name, path in files.items()}
    source = manifest["inputs"]["checkpoint"]
    assert (source["sha256"], source["bytes"]) == (sha256(PICO), PICO.stat().st_size)
    assert (source["path"], source["trusted"]) == (str(PICO), False)


def test_the_manifest_tells_how_it_was_made(manifest: Manifest) -> None:
    assert (manifest["command"], manifest["seed"], manifest["warnings"]) == ("quantize", 3, [])
    assert {"attendc", "torch", "nncf", "litert-torch", "onnxruntime"} <= manifest["versions"].keys()
    stages = {name: config for stage in manifest["recipe"]["stages"] for name, config in stage.items()}
    quantize, verify = stages["quantize"], stages["verify"]
    assert (quantize["calib"], verify["images"], quantize["mode"], quantize["ranges"]) == (32, 100, "ptq", "mse")
    assert (manifest["inputs"]["data"], manifest["inputs"]["calibration"]) == ("fashion-mnist-mini",) * 2


def test_the_history_goes_on_from_the_checkpoint_s(manifest: Manifest) -> None:
    spec = read_weights(PICO).spec
    assert spec is not None
    known = [step["step"] for step in spec.history]
    assert [step["step"] for step in manifest["history"]] == [*known, "ptq"]
    assert manifest["history"][-1]["images"] == 32


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_int8_files_have_no_float_and_no_layout_operators(manifest: Manifest, kind: str) -> None:
    entry = manifest["outputs"][f"model.int8.{kind}"]
    assert (entry["float_ops"], entry["transposes"]) == (0, 0)


@pytest.mark.parametrize(("kind", "part"), [("tflite", 0.363), ("onnx", 0.36)])
def test_int8_files_are_a_little_more_than_a_third_of_the_float_files(
    manifest: Manifest, kind: str, part: float
) -> None:
    """In TFLite narrow columns are joined with zeros between: 1 % more bytes, a fifth fewer instructions on ARM."""
    int8, floating = (manifest["outputs"][f"model.{d}.{kind}"]["bytes"] for d in ("int8", "float32"))
    assert int8 <= part * floating


def test_all_scales_and_integers_are_equal_and_all_gates_hold(manifest: Manifest) -> None:
    report = manifest["verification"]
    assert report["images"] == 100
    assert (report["scales_equal"], report["weights_equal"], report["passed"]) == (True, True, True)
    assert (report["failures"], report["accuracy_failures"]) == ([], [])


def test_gated_pairs_agree(manifest: Manifest) -> None:
    pairs = {(p["a"], p["b"]): p["top1_agreement"] for p in manifest["verification"]["pairs"] if p["gated"]}
    int8 = ("graph", "tflite", "tflite_reference", "onnx", "torchscript")
    floats = ("float", "tflite_float32", "onnx_float32", "torchscript_float32")
    assert {a for a, _ in pairs} | {b for _, b in pairs} == {*int8, *floats}
    assert min(pairs.values()) >= 0.99
    assert pairs["graph", "onnx"] >= 0.998


def test_int8_is_within_a_point_of_float(manifest: Manifest) -> None:
    reached = manifest["verification"]["accuracy"]
    assert reached["float"] >= 0.9
    assert abs(reached["tflite"] - reached["float"]) <= 0.01 + 1e-9  # 1 of 100 images


def test_every_artefact_says_where_it_comes_from(shipped_folder: Path) -> None:
    tflite = inspect_artefact("tflite", shipped_folder / "model.int8.tflite")["metadata"]
    onnx = inspect_artefact("onnx", shipped_folder / "model.int8.onnx")["metadata"]
    stamp = load_program(shipped_folder / "model.int8.pt2").stamp
    found = [tflite["checkpoint_sha256"], onnx["attendc.checkpoint_sha256"], stamp["checkpoint_sha256"]]
    assert found == [sha256(PICO)] * 3
    assert len(tflite["labels"]) == len(onnx["attendc.labels"]) == len(stamp["labels"]) == 10


def test_the_folder_passes_once_more_from_itself_alone(shipped_folder: Path) -> None:
    report = prove_folder(VerifyRequest(shipped_folder, images=60), Context())
    assert report["passed"]
    assert min(p["top1_agreement"] for p in report["pairs"] if p["gated"]) >= 0.99


def test_xnnpack_runs_it_as_one_part(shipped_folder: Path) -> None:
    assert partitions_of(shipped_folder / "model.int8.tflite").count == 1


# Options


def test_the_manifest_returned_is_the_one_written(request_: QuantizeRequest) -> None:
    told = json.loads(json.dumps(run(request_), default=str))
    assert told == read_manifest(request_.output)


def test_formats_and_dtypes_that_were_not_asked_for_are_not_written(request_: QuantizeRequest) -> None:
    outputs = run(request_)["outputs"]
    assert set(outputs) == {"model.int8.onnx", "model.int8.pt2", "model.float32.pt2"}


def test_float_files_alone_need_no_scales(request_: QuantizeRequest) -> None:
    report = run(request_, dtypes=("float32",))["verification"]
    assert (report["scales_equal"], report["weights_equal"], report["passed"]) == (None, None, True)


@pytest.mark.parametrize("ranges", ["minmax", "percentile"])
def test_other_ranges_give_other_scales(request_: QuantizeRequest, small_folder: Path, ranges: str) -> None:
    manifest = run(request_, ranges=ranges)
    assert manifest["history"][-1]["ranges"] == ranges
    scales = [inspect_artefact("onnx", f / "model.int8.onnx") for f in (request_.output, small_folder)]
    assert scales[0]["ops"] == scales[1]["ops"]
    assert sha256(request_.output / "model.int8.onnx") != sha256(small_folder / "model.int8.onnx")


@pytest.mark.parametrize(("io", "ends"), [("float32", ("QUANTIZE", "DEQUANTIZE")), ("uint8", ("QUANTIZE",))])
def test_the_border_of_tflite_is_of_the_type_asked_for(
    request_: QuantizeRequest, io: str, ends: tuple[str, ...]
) -> None:
    manifest = run(request_, formats=("tflite",), io=io)
    found = inspect_artefact("tflite", request_.output / "model.int8.tflite")
    assert [t["dtype"] for t in (*found["inputs"], *found["outputs"])] == [io, io]
    assert sum(found["ops"].get(n, 0) for n in ends) == 2
    assert (found["float_ops"], manifest["verification"]["passed"]) == (0, True)


def test_without_data_it_is_stamped_into_everything_and_accuracy_is_not_judged(request_: QuantizeRequest) -> None:
    manifest = run(request_, calib="random", formats=("tflite", "onnx"))
    folder = request_.output
    stamps = [
        inspect_artefact("tflite", folder / "model.int8.tflite")["metadata"]["calibration"],
        inspect_artefact("onnx", folder / "model.int8.onnx")["metadata"]["attendc.calibration"],
        load_program(folder / "model.int8.pt2").stamp["calibration"],
        manifest["inputs"]["calibration"],
        manifest["history"][-1]["calibration"],
    ]
    assert stamps == ["random"] * 5
    assert manifest["verification"]["accuracy"] == {}


def test_without_data_random_images_of_the_right_shape_are_compared(request_: QuantizeRequest) -> None:
    report = run(request_, calib="random", images=7)["verification"]
    preprocess = open_checkpoint(request_.checkpoint).spec.preprocess
    assert report["images"] == len(random_images(preprocess, 7)) == 7
    assert {(p["a"], p["b"], p["images"]) for p in report["pairs"]} >= {("graph", "onnx", 7)}


def test_the_same_seed_gives_the_same_files(request_: QuantizeRequest) -> None:
    first, second = (run(request_, Context(1), force=True)["outputs"]["model.int8.onnx"]["sha256"] for _ in range(2))
    assert first == second


def test_qat_runs_and_is_recorded_with_its_options(request_: QuantizeRequest, small_npz: Path) -> None:
    options = dataclasses.replace(QAT_OPTIONS, epochs=1, batch_size=8)
    source = dataclasses.replace(request_.checkpoint, data=str(small_npz))
    manifest = run(request_, checkpoint=source, qat=options)
    ptq, qat = manifest["history"]
    assert (ptq["step"], qat["step"]) == ("ptq", "qat")
    assert qat["options"] == dataclasses.asdict(options)
    assert len(qat["curve"]) == 1
    assert (manifest["inputs"]["data"], manifest["verification"]["scales_equal"]) == (str(small_npz), True)


def test_qat_changes_the_integers(request_: QuantizeRequest, small_npz: Path) -> None:
    source = dataclasses.replace(request_.checkpoint, data=str(small_npz))
    ptq = run(request_, checkpoint=source)["outputs"]
    options = dataclasses.replace(QAT_OPTIONS, epochs=1, batch_size=8, lr=0.01)
    qat = run(request_, checkpoint=source, qat=options, force=True)["outputs"]
    assert ptq["model.int8.onnx"]["sha256"] != qat["model.int8.onnx"]["sha256"]
    assert ptq["model.float32.pt2"]["bytes"] == qat["model.float32.pt2"]["bytes"]


# What fails, leaving nothing


def images_of(path: Path, side: int, channels: int, classes: int = 10) -> Path:
    rng = np.random.default_rng(0)
    shape = (2 * classes, side, side, channels)
    np.savez(path, images=rng.integers(0, 255, shape, np.uint8), labels=np.arange(2 * classes) % classes)
    return path


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"calib": "random", "qat": QAT_OPTIONS}, UsageError, "--qat needs images"),
        ({"gates": Gates(max_drop_points=-101)}, AccuracyError, r"onnx reaches .* points lost, -101 allowed"),
        ({"gates": Gates(min_agreement=1.01)}, ParityError, r"graph and onnx agree on 100\.00% of 40 images"),
    ],
)
def test_gates_and_contradictions_leave_nothing_behind(
    request_: QuantizeRequest, changed: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    with pytest.raises(error, match=text):
        run(request_, **changed)
    assert left(request_) == []


def test_folders_made_on_the_way_do_not_outlive_a_failure(request_: QuantizeRequest, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(AccuracyError):
        run(request_, output=tmp_path / "a" / "b" / "q", gates=Gates(max_drop_points=-101))
    assert sorted(tmp_path.iterdir()) == before


def test_without_the_gate_the_failure_is_written_down(request_: QuantizeRequest) -> None:
    manifest = run(request_, gates=Gates(max_drop_points=-101), gate=False)
    assert not manifest["verification"]["passed"]
    assert any("gate failed and was overridden: onnx reaches" in text for text in manifest["warnings"])


def test_data_with_more_classes_than_the_network_has_outputs_is_refused(
    request_: QuantizeRequest, tmp_path: Path
) -> None:
    data = images_of(tmp_path / "many.npz", 8, 1, classes=12)
    source = dataclasses.replace(request_.checkpoint, data=str(data))
    with pytest.raises(DataError, match=r"many\.npz has 12 classes, the network has 10 outputs"):
        run(request_, checkpoint=source)
    assert left(request_) == []


def test_a_network_without_a_spec_is_asked_for_its_outputs_too(
    request_: QuantizeRequest, small_checkpoint: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "plain.safetensors"
    save_file(read_weights(small_checkpoint).tensors, weights)
    data = images_of(tmp_path / "many.npz", 8, 1, classes=12)
    told = {"model_args": {"middle": "conv_bn_relu"}, "mean": (0.5,), "std": (0.5,), "input_shape": (1, 8, 8)}
    source = CheckpointRequest(weights, model="nets:small", data=str(data), **told)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"many\.npz has 12 classes, the network has 10 outputs"):
        run(request_, checkpoint=source)
    assert left(request_) == []


def test_an_existing_folder_is_replaced_only_with_force(request_: QuantizeRequest) -> None:
    run(request_)
    before = read_manifest(request_.output)
    with pytest.raises(OutputError, match="exists already"):
        run(request_, calib=9)
    assert read_manifest(request_.output) == before
    run(request_, calib=9, force=True)
    assert read_manifest(request_.output)["recipe"]["stages"][0]["quantize"]["calib"] == 9
    assert left(request_) == ["q"]


@pytest.fixture
def with_erf(request_: QuantizeRequest, tmp_path: Path) -> QuantizeRequest:
    """Ask for the same of a network with an operator that has no int8 kernel."""
    spec = dataclasses.replace(
        open_checkpoint(request_.checkpoint).spec, architecture=Architecture("nets:small", {"middle": "erf"})
    )
    save_checkpoint(tmp_path / "erf.safetensors", small("erf"), spec)
    source = CheckpointRequest(tmp_path / "erf.safetensors", model="nets:small")
    return dataclasses.replace(request_, checkpoint=source)


def test_an_operator_that_cannot_be_int8_is_named_with_its_module(with_erf: QuantizeRequest) -> None:
    with pytest.raises(
        ConversionError, match=r"operations cannot be int8: erf\.default in 1 \(Call\): .*--allow-float"
    ):
        run(with_erf)
    assert left(with_erf) == []


def test_allow_float_lets_it_pass_and_says_so(with_erf: QuantizeRequest) -> None:
    said: list[str] = []
    manifest = run(with_erf, Context(say=said.append), allow_float=True, formats=("tflite",))
    assert any(text.startswith("stays float: erf.default in 1 (Call): ") for text in manifest["warnings"])
    assert any(text.startswith("warning: stays float: erf.default") for text in said)
    assert manifest["outputs"]["model.int8.tflite"]["float_ops"] > 0
