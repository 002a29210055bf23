"""The recipes that ship: each says how it is run, is valid, and does what its text promises, on a tiny network here."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from nets import NANO

import attendc
import attendc.recipes
from attendc.reader.schema import recipe_schema
from attendc.runner.run import Run
from attendc.targets import DTYPES, FORMATS, file_name, pairs_of

FILES = sorted(Path(attendc.recipes.__file__).parent.glob("*.yaml"))
NAMES = [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_opens_with_the_command_that_runs_it_and_says_what_it_is_for(file: Path) -> None:
    first, blank, *rest = file.read_text().splitlines()
    command = re.fullmatch(rf"# attendc run {file.stem}((?: --set \S+=\S+)*)", first)
    assert command
    assert blank == "#"
    assert rest[0].startswith("# ")
    attendc.load_recipe(file.stem, command[1].split()[1::2])  # what it sets can be set


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_is_valid_by_its_name_and_by_the_schema(file: Path) -> None:
    assert attendc.load_recipe(file.stem).name == file.stem
    document = yaml.safe_load(file.read_text())
    assert [e.message for e in Draft202012Validator(recipe_schema()).iter_errors(document)] == []


# Each is run. What is set makes it small; gates are loose where the weights are random and few images tell little.

QUANTIZE = ["stages.quantize.calib=8", "stages.quantize.batch_size=8"]
VERIFY = ["stages.verify.images=20", "stages.verify.max_drop=100"]
PRUNE = ["stages.prune.batch_size=8", "stages.prune.importance_images=16", "stages.prune.images=20"]
SMALLER = {
    "compare-ptq-qat": [*QUANTIZE, *VERIFY],
    "float-all-targets": ["stages.verify.images=20"],
    "int8-all-targets": ["stages.quantize.calib=8", *VERIFY],
    "int8-arm": ["stages.quantize.calib=8", *VERIFY],
    "int8-ptq": ["stages.quantize.calib=8", *VERIFY],
    "int8-qat": ["vars.epochs=1", *QUANTIZE, *VERIFY],
    "prune-qat-arm": ["vars.epochs=1", *PRUNE, *QUANTIZE, *VERIFY],
}
INT8_FILES = {"model.int8.tflite", "model.int8.onnx"}
FLOAT_FILES = {"model.float32.tflite", "model.float32.onnx"}


def check_int8(run: Run, *more: str) -> None:
    """Check int8 files without float operators, the float32 files beside them, and that all were proven."""
    outputs = run.manifest["outputs"]
    assert {name for name in outputs if not name.endswith((".pt2", ".safetensors"))} >= {
        *INT8_FILES,
        *FLOAT_FILES,
        *more,
    }
    assert [outputs[name]["float_ops"] for name in sorted(INT8_FILES)] == [0, 0]
    proof = run.manifest["verification"]
    assert (proof["scales_equal"], proof["weights_equal"], proof["passed"]) == (True, True, True)


def steps(run: Run) -> list[str]:
    return [step["step"] for step in run.manifest["history"]]


def check_int8_ptq(run: Run) -> None:
    check_int8(run, "model.float32.ts.pt")
    assert steps(run) == ["ptq"]
    assert run.manifest["curves"] == []


def check_int8_qat(run: Run) -> None:
    check_int8(run, "model.float32.ts.pt")
    assert steps(run) == ["ptq", "qat"]
    (curve,) = run.manifest["curves"]
    assert [row["epoch"] for row in curve["rows"]] == [1]


def check_float_all_targets(run: Run) -> None:
    files = [*FLOAT_FILES, "model.float32.ts.pt", "model.float32.savedmodel", "model.float16.tflite"]
    assert {name for name in run.manifest["outputs"] if not name.endswith(".pt2")} == set(files)
    pairs = {frozenset((p["a"], p["b"])): p["top1_agreement"] for p in run.manifest["verification"]["pairs"]}
    formats = ("tflite", "onnx", "torchscript", "savedmodel")
    all_of_them = ["float", "tflite_float16", "tflite_by_tensorflow_float32", *(f"{f}_float32" for f in formats)]
    assert pairs == {frozenset(two): 1.0 for two in itertools.combinations(all_of_them, 2)}


def check_int8_all_targets(run: Run) -> None:
    check_int8(run, *(file_name(kind, dtype) for kind, dtype in pairs_of(FORMATS, DTYPES)))
    folder = Path(run.folder)
    assert (folder / "model.int8.savedmodel" / "saved_model.pb").exists()
    assert set(run.manifest["verification"]["accuracy"]) >= {
        "tflite_dynamic",
        "tflite_int16",
        "torchscript",
        "savedmodel",
    }


def check_int8_arm(run: Run) -> None:
    check_int8(run)
    kinds = [gate["name"].split(" ")[0] for gate in run.manifest["gates"] if gate["kind"] == "budget"]
    assert kinds == ["instructions", "partitions", "bytes"]
    assert {row["file"] for row in run.manifest["bench"]} == INT8_FILES | FLOAT_FILES
    assert {row["core"] for row in run.manifest["bench"]} == {"cortex-a76"}
    assert all(row["macs"] > 0 for row in run.manifest["bench"])


def check_prune_qat_arm(run: Run) -> None:
    check_int8(run)
    assert run.manifest["target"] == {"core": "cortex-a76"}
    first, last = run.manifest["steps"][0], run.manifest["steps"][-1]
    assert last["macs"] <= first["macs"] / 2
    assert run.manifest["model"]["macs"] == last["macs"]
    assert len(run.manifest["curves"]) == 2  # of recovery and of int8


def check_compare_ptq_qat(run: Run) -> None:
    assert list(run.variants) == ["ptq", "qat"]
    assert [steps(variant) for variant in run.variants.values()] == [["ptq"], ["ptq", "qat"]]
    for variant in run.variants.values():
        check_int8(variant)
    folder = Path(run.folder)
    assert (folder / "compare.html").exists()
    compared = json.loads((folder / "compare.json").read_text())
    assert compared["runs"] == ["ptq", "qat"]
    assert compared == json.loads(json.dumps(run.manifest["comparison"]))


CHECKS: dict[str, Callable[[Run], None]] = {
    "compare-ptq-qat": check_compare_ptq_qat,
    "float-all-targets": check_float_all_targets,
    "int8-all-targets": check_int8_all_targets,
    "int8-arm": check_int8_arm,
    "int8-ptq": check_int8_ptq,
    "int8-qat": check_int8_qat,
    "prune-qat-arm": check_prune_qat_arm,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_it_does_what_it_promises(
    name: str, tmp_path: Path, small_checkpoint: Path, small_npz: Path, request: pytest.FixtureRequest
) -> None:
    if name == "int8-arm":
        request.getfixturevalue("arm_machine")
    goes_in = [f"model.checkpoint={small_checkpoint}", "model.factory=nets:small", f"data.source={small_npz}"]
    options = attendc.RunOptions(output=tmp_path / "run")
    run = attendc.run_recipe(name, options=options, sets=[*goes_in, *SMALLER[name]])
    CHECKS[name](run)


@pytest.mark.slow
def test_smoke_passes_as_it_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the shipped checkpoint by its path in the repository."""
    monkeypatch.chdir(NANO.parent.parent)
    run = attendc.run_recipe("smoke", options=attendc.RunOptions(output=tmp_path / "run"))
    manifest: dict[str, Any] = run.manifest
    assert manifest["outputs"]["model.int8.tflite"]["float_ops"] == 0
    assert [name for name in manifest["outputs"] if not name.endswith(".pt2")] == ["model.int8.tflite"]
    assert manifest["verification"]["passed"]
