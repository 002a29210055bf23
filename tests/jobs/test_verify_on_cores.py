"""The proof on emulated cores: the files run there, and the folder tells what came out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attendc.cli.main import main
from attendc.context import Context
from attendc.converters.tflite_schema import read_model, write_model
from attendc.jobs.verify import VerifyRequest, prove_folder
from attendc.manifest import file_entry, read_manifest, write_manifest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("arm_machine")]

CORES = ("cortex-a72", "cortex-a76")
IMAGES = 40
FILES = ("tflite", "onnx", "tflite_float32", "onnx_float32")
TOLD = {"manifest.json", "report.html", "report.json", "MODEL_CARD.md"}
"""Files of a folder that the proof on cores writes anew."""


@pytest.fixture(scope="module")
def folder(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that nobody has verified."""
    copied = tmp_path_factory.mktemp("cores") / "copy"
    shutil.copytree(small_folder, copied)
    manifest = read_manifest(copied)
    manifest |= {"caveat": "weights: random (seed 0), not trained; not verified", "warnings": ["not verified"]}
    manifest["gates"] = [{**gate, "stage": "bench"} for gate in manifest["gates"][:1]]
    del manifest["verification"]
    write_manifest(copied, manifest)
    return copied


@pytest.fixture(scope="module")
def proof(folder: Path, arm_machine: Path) -> dict[str, Any]:
    """Return what the proof on both cores found."""
    return prove_folder(VerifyRequest(folder, images=IMAGES, on=CORES), Context())


def pair(proof: dict[str, Any], a: str, b: str) -> dict[str, Any]:
    return next(one for one in proof["pairs"] if {one["a"], one["b"]} == {a, b})


def test_every_file_runs_on_every_core_on_every_image(proof: dict[str, Any]) -> None:
    assert [one["runner"] for one in proof["on"]] == [f"{file}@{core}" for file in FILES for core in CORES]
    assert {one["images"] for one in proof["on"]} == {IMAGES}
    assert {f"{file}@{core}" for file in FILES for core in CORES} <= proof["accuracy"].keys()


def test_int8_tflite_gives_the_very_bytes_of_this_machine(proof: dict[str, Any]) -> None:
    found = [one for one in proof["on"] if one["here"] == "tflite"]
    assert [(one["identical"], one["differing_images"], one["max_steps"]) for one in found] == [(True, 0, 0.0)] * 2


def test_the_other_files_differ_by_a_step_at_most(proof: dict[str, Any]) -> None:
    """Float kernels sum in another order; onnxruntime requantizes by other kernels."""
    assert all(one["max_steps"] <= (1 if one["here"] == "onnx" else 0.01) for one in proof["on"])


@pytest.mark.parametrize(("file", "source"), list(zip(FILES, ("graph", "graph", "float", "float"), strict=True)))
def test_each_is_compared_with_itself_here_and_with_its_source_and_with_nobody_else(
    proof: dict[str, Any], file: str, source: str
) -> None:
    for core in CORES:
        name = f"{file}@{core}"
        partners = [one for one in proof["pairs"] if name in (one["a"], one["b"])]
        assert {one["a"] for one in partners} | {one["b"] for one in partners} == {name, file, source}
        assert len(partners) == 2
        assert all(one["gated"] and one["top1_agreement"] >= 0.99 for one in partners)


def test_the_folder_tells_it(folder: Path, proof: dict[str, Any]) -> None:
    manifest = read_manifest(folder)
    assert manifest["verification"] == json.loads(json.dumps(proof))
    assert {gate["stage"] for gate in manifest["gates"]} == {"bench", "verify"}
    assert "agreement of tflite with tflite@cortex-a72" in [gate["name"] for gate in manifest["gates"]]
    assert (manifest["caveat"], manifest["warnings"]) == ("weights: random (seed 0), not trained", [])
    rows = json.loads((folder / "report.json").read_text())["on"]
    assert [(one["file"], one["core"], one["identical"]) for one in rows[:2]] == [
        ("model.int8.tflite", "cortex-a72", True),
        ("model.int8.tflite", "cortex-a76", True),
    ]


def test_page_and_card_have_a_row_for_each_file_and_core(folder: Path, proof: dict[str, Any]) -> None:
    page, card = ((folder / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    section = page.partition('id="cores"')[2].partition("</section>")[0]
    assert len(re.findall(r'<th scope="row">model\.', section)) == len(FILES) * len(CORES)
    assert section.count("identical") >= len(CORES)
    assert re.search(r"\| model\.int8\.tflite \| cortex-a76 \| 40 \|.*\| identical \|", card)
    agreement = page.partition('id="agreement"')[2].partition("</section>")[0]
    assert "@" not in agreement.partition("<details>")[0]


def test_nothing_else_in_the_folder_changes(folder: Path, small_folder: Path, proof: dict[str, Any]) -> None:
    names = {p.relative_to(small_folder) for p in small_folder.rglob("*") if p.is_file()}
    assert {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()} == names
    changed = {str(n) for n in names if (folder / n).read_bytes() != (small_folder / n).read_bytes()}
    assert changed == TOLD


def test_files_that_disagree_exit_with_6_and_the_folder_says_so(
    small_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_folder, broken)
    path = broken / "model.float32.tflite"
    model = read_model(path)
    tensors = model.subgraphs[0].tensors
    head = model.buffers[tensors[model.subgraphs[0].operators[-1].inputs[1]].buffer]
    head.data = (-np.array(head.data, np.uint8).view(np.float32)).view(np.uint8)
    write_model(path, model)
    manifest = read_manifest(broken)
    kept = ("model.int8.pt2", "model.float32.pt2", path.name)
    manifest["outputs"] = {name: manifest["outputs"][name] for name in kept}
    manifest["outputs"][path.name] |= file_entry(path)
    write_manifest(broken, manifest)
    assert main(["verify", str(broken), "--on=cortex-a72", "--images=8", "--max-drop=100"]) == 6
    assert "float and tflite_float32@cortex-a72 agree on " in capfd.readouterr().err
    told = read_manifest(broken)["verification"]
    assert told["passed"] is False
    assert [one["runner"] for one in told["on"]] == ["tflite_float32@cortex-a72"]
