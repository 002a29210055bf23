"""The proof again, from the folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attendc.context import Context
from attendc.converters.tflite_schema import read_model, write_model
from attendc.errors import CheckpointError, DataError, ParityError
from attendc.jobs.verify import VerifyRequest, prove_folder
from attendc.manifest import file_entry, read_manifest, write_manifest

pytestmark = pytest.mark.slow  # whole folders are made and verified

TFLITE = "model.int8.tflite"


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """Return a quantized folder that may be changed."""
    shutil.copytree(small_folder, tmp_path / "copy")
    return tmp_path / "copy"


def run(folder: Path, *, images: int | None = 40, **changed: Any) -> dict[str, Any]:
    return prove_folder(VerifyRequest(folder, images=images, **changed), Context())


def tamper(path: Path, *, scales: bool = False) -> None:
    """Change one integer of the largest weight, or a scale, of a TFLite file, and the manifest's hash with it."""
    model = read_model(path)
    tensors = model.subgraphs[0].tensors
    if scales:
        output = tensors[model.subgraphs[0].outputs[0]]
        output.quantization.scale = [float(output.quantization.scale[0]) * 1.01]
    else:
        constants = [t for t in tensors if t.type == 9 and model.buffers[t.buffer].data is not None]  # 9: INT8
        data = np.array(model.buffers[max(constants, key=lambda t: np.prod(t.shape)).buffer].data, np.uint8)
        data[0] ^= 1
        model.buffers[max(constants, key=lambda t: np.prod(t.shape)).buffer].data = data
    write_model(path, model)
    manifest = read_manifest(path.parent)
    manifest["outputs"][path.name] |= file_entry(path)
    write_manifest(path.parent, manifest)


def test_an_untouched_folder_passes(small_folder: Path) -> None:
    report = run(small_folder)
    assert (report["images"], report["scales_equal"], report["weights_equal"]) == (40, True, True)
    assert report["failures"] == []


def test_it_repeats_what_quantize_found(small_folder: Path) -> None:
    found = read_manifest(small_folder)["verification"]
    report = run(small_folder)
    assert report["accuracy"] == found["accuracy"]
    int8 = [[p for p in r["pairs"] if {p["a"], p["b"]} <= {"graph", "tflite", "onnx"}] for r in (report, found)]
    assert int8[0] == int8[1] != []


def test_a_moved_folder_passes(folder: Path, tmp_path: Path) -> None:
    assert run(folder.rename(tmp_path / "elsewhere"))["failures"] == []


def test_other_data_may_be_given(small_folder: Path, small_npz: Path) -> None:
    assert run(small_folder, data=str(small_npz))["images"] == 20  # all that its test split has


@pytest.mark.parametrize("name", [TFLITE, "model.float32.onnx", "model.int8.pt2"])
def test_a_file_changed_after_the_fact_is_told_by_its_hash(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ParityError, match=f"{name} is not the file that the manifest describes: its sha256 differs"):
        run(folder)


def test_a_changed_integer_is_told_even_if_the_hash_was_changed_too(folder: Path) -> None:
    tamper(folder / TFLITE)
    report = run(folder)
    assert (report["scales_equal"], report["weights_equal"], report["passed"]) == (True, False, False)
    assert any("tflite: the integers of 1 layers differ" in text for text in report["failures"])


def test_a_changed_scale_is_told_even_if_the_hash_was_changed_too(folder: Path) -> None:
    tamper(folder / TFLITE, scales=True)
    report = run(folder)
    assert (report["scales_equal"], report["weights_equal"], report["passed"]) == (False, True, False)
    assert any("1 scales of the graph are missing" in text for text in report["failures"])


def test_a_folder_without_int8_files_compares_the_float_files(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["outputs"] = {k: v for k, v in manifest["outputs"].items() if v["dtype"] == "float32"}
    for file in folder.glob("model.int8.*"):
        file.unlink()
    write_manifest(folder, manifest)
    report = run(folder)
    assert (report["scales_equal"], report["weights_equal"], report["passed"]) == (None, None, True)
    assert set(report["accuracy"]) == {"float", "tflite_float32", "onnx_float32"}


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / TFLITE).unlink()
    with pytest.raises(CheckpointError, match=f"{TFLITE} is missing"):
        run(folder)


def test_a_folder_without_graphs_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["outputs"] = {k: v for k, v in manifest["outputs"].items() if v["format"] != "pt2"}
    for file in folder.glob("*.pt2"):
        file.unlink()
    write_manifest(folder, manifest)
    with pytest.raises(CheckpointError, match="holds no graph to compare with"):
        run(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"outputs": 3}'])
def test_a_damaged_manifest_is_told(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        run(folder)


def test_a_missing_folder_or_one_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no folder .*attendc quantize makes one"):
        run(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
        run(tmp_path)


def test_data_that_is_not_there_is_told(small_folder: Path) -> None:
    with pytest.raises(DataError, match="no data at 'nowhere'"):
        run(small_folder, data="nowhere")
