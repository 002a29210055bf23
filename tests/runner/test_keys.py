"""What changes the key of which stage, and what does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from word_stages import recipe, word

from attendc.context import Context
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, TargetSection
from attendc.runner.cache import StageCache, stage_key
from attendc.runner.execute import executing
from attendc.runner.keys import recipe_hash, stage_ingredients, with_threads
from attendc.runner.source import open_source
from attendc.stages.prune_config import PruneConfig
from attendc.stages.work import Work

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def base(here: Path) -> Recipe:
    """Return a recipe of three stages with everything that goes in: files in the current folder."""
    (here / "net.pth").write_bytes(b"weights")
    (here / "set.npz").write_bytes(b"images")
    (here / "plan").write_text("!")
    (here / "factory.py").write_text("def make(): ...\n")
    return recipe(
        word("a"),
        word("b", add="plan"),
        word("c"),
        model=ModelSection("net.pth", factory="factory:make"),
        data=DataSection("set.npz"),
        threads=1,
    )


def keys(what: Recipe, cache: StageCache) -> list[str]:
    with executing(what, Context(), cache) as executed:
        return [stage.entry.key for stage in executed.stages]


def changed(one: list[str], other: list[str]) -> list[int]:
    """Return the numbers of the stages whose keys differ."""
    return [n for n, (a, b) in enumerate(zip(one, other, strict=True), 1) if a != b]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"seed": 1}, [1, 2, 3]),
        ({"threads": 2}, [1, 2, 3]),
        ({"model": ModelSection("net.pth", factory="factory:make", args={"width": 2})}, [1, 2, 3]),
        ({"model": ModelSection("net.pth", factory="factory:make", trust=True)}, [1, 2, 3]),
        ({"data": DataSection()}, [1, 2, 3]),
        ({"stages": (word("A"), word("b", add="plan"), word("c"))}, [1, 2, 3]),
        ({"stages": (word("a"), word("B", add="plan"), word("c"))}, [2, 3]),
        ({"stages": (word("a"), word("b", add="plan"), word("C"))}, [3]),
        ({"stages": (word("a"), word("b"), word("c"))}, [2, 3]),
        ({"name": "other"}, []),
        ({"output": "elsewhere"}, []),
        ({"target": TargetSection("cortex-a53")}, []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_a_change_of_the_recipe(base: Recipe, cache: StageCache, change: dict[str, object], stages: list[int]) -> None:
    assert changed(keys(base, cache), keys(replace(base, **change), cache)) == stages  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "stages"), [("net.pth", [1, 2, 3]), ("set.npz", [1, 2, 3]), ("factory.py", [1, 2, 3]), ("plan", [2, 3])]
)
def test_a_change_of_a_file(base: Recipe, cache: StageCache, here: Path, file: str, stages: list[int]) -> None:
    before = keys(base, cache)
    (here / file).write_text("something else")
    assert changed(before, keys(base, cache)) == stages


def test_a_file_touched_changes_nothing(base: Recipe, cache: StageCache, here: Path) -> None:
    before = keys(base, cache)
    for path in here.iterdir():
        path.touch()
    assert keys(base, cache) == before


def test_where_checkpoint_and_plan_lie_changes_nothing(base: Recipe, cache: StageCache, here: Path) -> None:
    (here / "far").mkdir()
    for name in ("net.pth", "plan"):
        shutil.copy(here / name, here / "far" / name)
    shutil.copy(here / "plan", here / "far" / "other name")
    moved = replace(
        base,
        model=replace(base.model, checkpoint=str(here / "far" / "net.pth")),
        stages=(word("a"), word("b", add="far/other name"), word("c")),
    )
    assert keys(moved, cache) == keys(base, cache)


def test_from_where_it_is_run_changes_nothing(
    base: Recipe, cache: StageCache, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(base, cache)
    shutil.copytree(here, here.parent / "copy")
    monkeypatch.chdir(here.parent / "copy")
    assert keys(base, cache) == before


def test_the_checksum_that_was_asked_for_changes_nothing(base: Recipe, cache: StageCache, here: Path) -> None:
    digest = open_source(base, Context()).told["sha256"]
    assert keys(replace(base, model=replace(base.model, sha256=digest)), cache) == keys(base, cache)


def test_the_name_of_the_data_counts_since_artefacts_tell_it(base: Recipe, cache: StageCache, here: Path) -> None:
    shutil.copy(here / "set.npz", here / "same.npz")
    assert changed(keys(base, cache), keys(replace(base, data=DataSection("same.npz")), cache)) == [1, 2, 3]


@pytest.mark.usefixtures("here")
def test_a_plan_that_is_missing_is_not_no_plan() -> None:
    def key(plan: str) -> str:
        one = with_threads(recipe(StageEntry("prune", PruneConfig(keep={"a": 0.5}, plan=plan))))
        source = open_source(one, Context())
        return stage_key(stage_ingredients(one.stages[0], one, source, Work(source.model), {}))

    assert key("nowhere.json") != key("")
    assert key("nowhere.json") == key("nor here.json")


def test_device_files_and_facts_count(base: Recipe) -> None:
    source = open_source(base, Context())

    def key(device: str = "cpu", facts: dict[str, int] | None = None, hashes: dict[str, str] | None = None) -> str:
        told = replace(base, device=device)  # type: ignore[arg-type]
        work = Work(source.model, facts=facts or {})
        return stage_key(stage_ingredients(base.stages[0], told, source, work, hashes or {}))

    assert len({key(), key("cuda"), key(facts={"images": 3}), key(hashes={"a": "0"}), key(hashes={"b": "0"})}) == 5


def test_every_version_counts_and_so_does_our_own_code(base: Recipe) -> None:
    source = open_source(base, Context())
    versions = stage_ingredients(base.stages[0], base, source, Work(source.model), {})["versions"]
    assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
    assert {"attendc", "torch-pruning", "litert-torch", "onnx", "code"} <= versions.keys()


def test_another_line_of_our_own_code_gives_another_key(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "attendc", tmp_path / "attendc", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    script = "from attendc.runner.keys import _versions; print(_versions()['code'])"

    def code() -> str:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    before = code()
    with (tmp_path / "attendc" / "compress" / "ptq.py").open("a") as file:
        file.write("# changed\n")
    assert code() != before


# How many threads


def test_threads_are_those_of_the_recipe_or_of_torch(base: Recipe) -> None:
    assert with_threads(replace(base, threads=7)).threads == 7
    assert with_threads(replace(base, threads=None)).threads == torch.get_num_threads()


@pytest.mark.parametrize(("variable", "expected"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_before_torch_is_imported_threads_are_those_of_the_environment(variable: str, expected: int | None) -> None:
    script = (
        "import sys; from attendc.recipe import Recipe; from attendc.runner.keys import with_threads\n"
        "print(with_threads(Recipe('a', ())).threads); assert 'torch' not in sys.modules"
    )
    command, environment = [sys.executable, "-c", script], {"OMP_NUM_THREADS": variable}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == (expected or len(os.sched_getaffinity(0)))  # one for each core that we may use


# The hash in the name of a run's folder


def test_the_hash_of_a_run_tells_recipe_and_inputs(base: Recipe, here: Path) -> None:
    source = open_source(base, Context())
    first = recipe_hash({"seed": 0}, source)
    assert len(first) == 8
    assert recipe_hash({"seed": 0}, source) == first
    assert recipe_hash({"seed": 1}, source) != first
    assert recipe_hash({"seed": 0}, source, source) != first
    (here / "net.pth").write_bytes(b"other weights")
    assert recipe_hash({"seed": 0}, open_source(base, Context())) != first
