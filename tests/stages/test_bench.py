"""The stage `bench`: what it asks for before it counts, and budgets that hold or end a run with exit code 8."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attendc.context import Context
from attendc.errors import BudgetError, UsageError
from attendc.recipe import ModelSection, Recipe, StageEntry, TargetSection
from attendc.runner.run import RunOptions, run_recipe
from attendc.stages.bench import run
from attendc.stages.bench_config import BenchConfig
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.quantize_config import QuantizeConfig
from attendc.stages.work import Work

NAMES = ("model.int8.tflite", "model.int8.onnx", "model.int8.ts.pt")
ARTEFACTS = {"artefacts": [["tflite", "int8", NAMES[0]], ["torchscript", "int8", NAMES[2]]]}


def work_with(folder: Path, **changes: Any) -> Work:
    work = Work(ModelSection(), files={name: folder / name for name in NAMES}, facts=ARTEFACTS)
    return replace(work, **changes)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (BenchConfig(), {}, r"bench names no core\. Add on: \[cortex-a76\] to the stage, or target: to the recipe"),
        (BenchConfig(), {"core": "cortex-a76", "facts": {}}, "there is nothing to bench. Add the stage convert"),
        (
            BenchConfig(on=("cortex-a72",), max_bytes=1, max_partitions=1),
            {"facts": {"artefacts": [["onnx", "int8", "model.int8.onnx"]]}},
            "max_partitions and max_bytes hold for model.int8.tflite, which no stage before makes",
        ),
        (
            BenchConfig(on=("cortex-a72",), max_instructions="forty"),
            {},
            "max_instructions=forty is no amount. For example max_instructions=40M; k, M and G are known",
        ),
    ],
)
def test_what_it_lacks_is_said_before_anything_is_counted(
    config: BenchConfig, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        run(config, work_with(tmp_path, **changes), tmp_path, Context())


def recipe(checkpoint: Path, **bench: Any) -> Recipe:
    stages = (
        StageEntry("quantize", QuantizeConfig(calib=8)),
        StageEntry("convert", ConvertConfig(to=("tflite",))),
        StageEntry("bench", BenchConfig(**bench)),
    )
    return Recipe(
        "costs", stages, ModelSection(str(checkpoint), factory="nets:small"), target=TargetSection("cortex-a76")
    )


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine")
def test_a_run_counts_on_its_target_and_keeps_its_budgets_or_ends(small_checkpoint: Path, tmp_path: Path) -> None:
    kept = run_recipe(
        recipe(small_checkpoint, max_instructions="10M", max_partitions=1), None, RunOptions(tmp_path / "a")
    )
    rows = {row["file"]: row for row in kept.manifest["bench"]}
    assert set(rows) == {"model.int8.tflite", "model.float32.tflite"}
    assert {row["core"] for row in rows.values()} == {"cortex-a76"}
    small = rows["model.int8.tflite"]
    assert small["partitions"] == 1
    # SDOT does 16 multiply-accumulates: fewer instructions are not possible.
    assert small["macs"] / 16 < small["instructions"] < 10_000_000
    assert [(g["name"], g["kind"], g["value"], g["limit"], g["passed"]) for g in kept.manifest["gates"]] == [
        ("instructions of model.int8.tflite on cortex-a76", "budget", small["instructions"], 10_000_000.0, True),
        ("partitions of model.int8.tflite on cortex-a76", "budget", 1, 1.0, True),
    ]
    told = json.loads((tmp_path / "a" / "report.json").read_text())
    assert told["bench"] == kept.manifest["bench"]
    assert told["verdict"]["state"] == "unproven"  # nothing was verified: budgets prove no outputs

    size = (tmp_path / "a" / "model.int8.tflite").stat().st_size
    with pytest.raises(BudgetError, match=f"bytes of model.int8.tflite: {size:,}, 1,000 allowed") as caught:
        run_recipe(recipe(small_checkpoint, max_bytes="1k"), None, RunOptions(tmp_path / "b"))
    assert caught.value.exit_code == 8
    assert not (tmp_path / "b").exists()

    over = run_recipe(recipe(small_checkpoint, max_bytes=1000.0, gate=False), None, RunOptions(tmp_path / "c"))
    text = f"gate failed and was overridden: bytes of model.int8.tflite: {size:,}, 1,000 allowed"
    assert text in over.manifest["warnings"]
