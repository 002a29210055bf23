"""The manifest of a run, and that the folder of a real one holds what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nets import RUN_FILES
from word_stages import recipe, word

from attendc import __version__
from attendc.context import Context
from attendc.files import sha256
from attendc.reader.write import recipe_to_data
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, TargetSection
from attendc.runner.cache import StageCache
from attendc.runner.execute import executing
from attendc.runner.run import RunOptions, run_recipe
from attendc.runner.summary import run_manifest
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.quantize_config import QuantizeConfig
from attendc.stages.verify_config import VerifyConfig

Manifest = dict[str, Any]


def manifest_of(what: Recipe, cache: StageCache, context: Context | None = None) -> Manifest:
    context = context or Context()
    with executing(what, context, cache) as executed:
        return run_manifest(executed, context, command="run")


@pytest.mark.usefixtures("here")
def test_what_every_manifest_tells(cache: StageCache) -> None:
    one = recipe(word("a"), seed=7, data=DataSection("mini"), target=TargetSection("cortex-a53"))
    told = manifest_of(one, cache)
    assert (told["attendc"], told["command"], told["name"], told["seed"]) == (__version__, "run", "words", 7)
    assert told["inputs"] == {"checkpoint": {}, "data": "mini"}
    assert told["recipe"] == recipe_to_data(one)
    assert told["target"] == {"core": "cortex-a53"}
    assert told["versions"]["attendc"] == __version__
    assert (told["gates"], told["curves"], told["warnings"]) == ([], [], [])


@pytest.mark.usefixtures("here")
def test_stages_are_told_with_key_time_and_whether_they_were_cached(cache: StageCache) -> None:
    manifest_of(recipe(word("a")), cache)
    stages = manifest_of(recipe(word("a"), word("b")), cache)["stages"]
    assert [(s["id"], s["step"], s["cached"]) for s in stages] == [
        ("01-word", "word", True),
        ("02-word", "word", False),
    ]
    assert {len(s["key"]) for s in stages} == {64}
    assert all(0 <= s["seconds"] < 60 for s in stages)


@pytest.mark.usefixtures("here")
def test_what_stages_tell_is_joined(cache: StageCache) -> None:
    told = manifest_of(recipe(word("a"), word("b", name="other"), word("c")), cache)
    assert told["outputs"].keys() == {"text.txt", "other.txt"}
    assert told["outputs"]["text.txt"]["bytes"] == 2  # of the last that wrote it: ac


@pytest.mark.usefixtures("here")
def test_warnings_that_there_were_before_stay(cache: StageCache) -> None:
    context = Context(warnings=["early"])
    assert manifest_of(recipe(word("a", warning="late")), cache, context)["warnings"] == ["early", "late"]


# A real run


@pytest.fixture(scope="module")
def real(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path, Manifest]:
    """Return a recipe, and the folder and the manifest of its run: int8 ONNX of a convolution of 1x8x8."""
    stages = (
        StageEntry("quantize", QuantizeConfig(calib=4, ranges="minmax")),
        StageEntry("convert", ConvertConfig(("onnx",))),
        StageEntry("verify", VerifyConfig(images=20, max_drop=100.0)),
    )
    one = Recipe("real", stages, ModelSection(str(small_checkpoint), factory="nets:small"), threads=1)
    folder = tmp_path_factory.mktemp("real") / "run"
    return one, folder, run_recipe(one, options=RunOptions(folder)).manifest


def test_the_folder_holds_the_outputs_and_nothing_else(real: tuple[Recipe, Path, Manifest]) -> None:
    _, folder, told = real
    names = {"model.int8.pt2", "model.float32.pt2", "model.int8.onnx", "model.float32.onnx"}
    assert told["outputs"].keys() == names
    assert {p.name for p in folder.iterdir()} == names | RUN_FILES
    for name, entry in told["outputs"].items():
        assert (entry["sha256"], entry["bytes"]) == (sha256(folder / name), (folder / name).stat().st_size)


def test_what_is_no_artefact_lies_with_its_stage(real: tuple[Recipe, Path, Manifest]) -> None:
    _, folder, _ = real
    files = {p.relative_to(folder / "stages").as_posix() for p in (folder / "stages").rglob("*") if p.is_file()}
    assert files == {"01-quantize.json", "02-convert.json", "03-verify.json", "03-verify/evidence.json"}


def test_report_and_card_name_every_artefact(real: tuple[Recipe, Path, Manifest]) -> None:
    _, folder, told = real
    for page in ("report.html", "MODEL_CARD.md"):
        text = (folder / page).read_text(encoding="utf-8")
        assert [name for name in told["outputs"] if name not in text and not name.endswith(".pt2")] == []
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_gates_are_told_line_by_line(real: tuple[Recipe, Path, Manifest]) -> None:
    _, _, told = real
    assert told["verification"]["passed"]
    assert [row["passed"] for row in told["gates"]] == [True] * len(told["gates"])
    assert {row["name"] for row in told["gates"]} >= {"agreement of graph with onnx", "scales as in the graph"}


@pytest.mark.slow
def test_a_second_run_without_the_cache_makes_the_same_files(
    real: tuple[Recipe, Path, Manifest], tmp_path: Path
) -> None:
    one, _, told = real
    again = run_recipe(one, options=RunOptions(tmp_path / "again", cached=False)).manifest
    assert not any(stage["cached"] for stage in again["stages"])
    assert {n: e["sha256"] for n, e in again["outputs"].items()} == {n: e["sha256"] for n, e in told["outputs"].items()}


@pytest.mark.slow
def test_an_artefact_damaged_in_the_cache_is_made_again_with_the_same_hash(
    real: tuple[Recipe, Path, Manifest], tmp_path: Path, cache: StageCache
) -> None:
    one, _, _ = real
    one = replace(one, stages=one.stages[:2])
    first = run_recipe(one, options=RunOptions(tmp_path / "first")).manifest
    path = cache.root / "entries" / first["stages"][1]["key"] / "files" / "model.int8.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said: list[str] = []
    second = run_recipe(one, Context(say=said.append), RunOptions(tmp_path / "second")).manifest
    assert any(line.endswith("model.int8.onnx was changed") for line in said)
    assert [stage["cached"] for stage in second["stages"]] == [True, False]
    name = "model.int8.onnx"
    assert sha256(tmp_path / "second" / name) == second["outputs"][name]["sha256"] == first["outputs"][name]["sha256"]
