"""`run_recipe`: the folder of a run, what stands in it, and that it is there whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from full_disk import files_of_at_most
from nets import RUN_FILES
from word_stages import DONE, judge, recipe, word

from attendc.context import Context
from attendc.errors import CheckpointError, ConversionError, OutputError, ParityError
from attendc.files import sha256
from attendc.reader.load import load_recipe
from attendc.recipe import ModelSection, Recipe, StageEntry
from attendc.runner.cache import StageCache, stage_key
from attendc.runner.run import RunOptions, run_recipe
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.verify_config import VerifyConfig

THREE = recipe(word("a"), word("b", name="other"), word("c"))
FAILING = recipe(word("a"), judge(0.5), word("b"))

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("here")


def nothing_in(folder: Path) -> bool:
    return list(folder.iterdir()) == []


def gates_in(path: Path) -> tuple[int, int, int]:
    """Return the tests, failures and errors in a JUnit file."""
    root = ET.parse(path).getroot()
    return int(root.attrib["tests"]), int(root.attrib["failures"]), int(root.attrib["errors"])


# The folder


def test_outputs_and_nothing_else_are_in_the_folder(here: Path) -> None:
    run = run_recipe(THREE, options=RunOptions(here / "out"))
    assert {p.name for p in (here / "out").iterdir()} == {"text.txt", "other.txt"} | RUN_FILES
    assert run.manifest["outputs"].keys() == {"text.txt", "other.txt"}
    assert (here / "out" / "text.txt").read_text() == "ac"  # of the last stage that wrote it
    for name, entry in run.manifest["outputs"].items():
        path = here / "out" / name
        assert (entry["sha256"], entry["bytes"]) == (sha256(path), path.stat().st_size)


def test_the_manifest_returned_is_the_one_written(here: Path) -> None:
    run = run_recipe(THREE, Context(), RunOptions("out", command="quantize"))
    assert run.folder == "out"
    assert json.loads((here / "out" / "manifest.json").read_text()) == json.loads(json.dumps(run.manifest))
    assert (run.manifest["name"], run.manifest["command"]) == ("words", "quantize")
    assert run.manifest["history"] == [{"step": "c"}]
    assert [s["id"] for s in run.manifest["stages"]] == ["01-word", "02-word", "03-word"]


def test_each_stage_tells_what_its_key_was_made_of(here: Path) -> None:
    run = run_recipe(replace(THREE, seed=4), options=RunOptions("out"))
    for number, stage in enumerate(run.manifest["stages"]):
        told = json.loads((here / "out" / "stages" / f"{stage['id']}.json").read_text())
        assert (told["key"], told["step"], told["cached"]) == (stage["key"], "word", False)
        assert told["made_of"].keys() >= {"step", "config", "source", "seed", "threads", "versions", "files"}
        assert told["made_of"]["config"]["word"] == "abc"[number]
        assert told["made_of"]["seed"] == 4
        assert list(told["files"]) == ["other.txt" if number == 1 else "text.txt"]
    assert told["made_of"]["files"].keys() == {"text.txt", "other.txt"}


def test_a_key_can_be_made_again_from_what_is_told(here: Path) -> None:
    run_recipe(THREE, options=RunOptions("out"))
    told = json.loads((here / "out" / "stages" / "01-word.json").read_text())
    made_of = {**told["made_of"], "config": THREE.stages[0].config}
    assert stage_key(made_of) == told["key"]


def test_what_a_second_run_says_differs_by_the_cache_alone(here: Path) -> None:
    first = run_recipe(THREE, options=RunOptions("one")).manifest
    second = run_recipe(THREE, options=RunOptions("two")).manifest
    assert [s.pop("cached") for s in first["stages"]] == [False] * 3
    assert [s.pop("cached") for s in second["stages"]] == [True] * 3
    assert first == second


def test_the_log_has_what_was_said_with_the_seconds(here: Path) -> None:
    said: list[str] = []
    run_recipe(recipe(word("a", warning="mind the step")), Context(say=said.append), RunOptions("out"))
    lines = (here / "out" / "run.log").read_text().splitlines()
    assert [line.split(" s  ", 1)[1] for line in lines] == said
    assert "warning: mind the step" in said
    assert all(0 <= float(line.split()[0]) < 60 for line in lines)


def test_the_recipe_that_lies_there_is_the_one_that_ran(small_checkpoint: Path, here: Path) -> None:
    stages = (StageEntry("convert", ConvertConfig(("torchscript",))), StageEntry("verify", VerifyConfig(images=5)))
    one = Recipe("small", stages, ModelSection(str(small_checkpoint), factory="nets:small"), seed=3)
    run_recipe(one, options=RunOptions("out"))
    assert load_recipe(here / "out" / "recipe.resolved.yaml") == one


def test_page_card_and_report_name_the_artefacts(here: Path) -> None:
    run = run_recipe(THREE, options=RunOptions("out"))
    for name in ("report.html", "report.json", "MODEL_CARD.md"):
        text = (here / "out" / name).read_text(encoding="utf-8")
        assert "text.txt" in text
        assert run.manifest["outputs"]["text.txt"]["sha256"][:12] in text


def test_warnings_stand_in_the_manifest_of_a_cached_run_too() -> None:
    one = recipe(word("a", warning="mind the step"))
    manifests = [run_recipe(one, options=RunOptions(name)).manifest for name in ("one", "two")]
    assert [m["warnings"] for m in manifests] == [["mind the step"]] * 2


def test_the_data_and_the_checkpoint_are_told(small_checkpoint: Path) -> None:
    run = run_recipe(recipe(word(), model=ModelSection(str(small_checkpoint))))
    assert run.manifest["inputs"]["checkpoint"]["sha256"] == sha256(small_checkpoint)
    assert run.manifest["inputs"]["data"] == "fashion-mnist-mini"


def test_until_leaves_out_what_follows_and_from_does_it_anew() -> None:
    run = run_recipe(THREE, options=RunOptions("out", until="02-word"))
    assert [s["id"] for s in run.manifest["stages"]] == ["01-word", "02-word"]
    DONE.clear()
    run_recipe(THREE, options=RunOptions("out", force=True, start="02-word"))
    assert DONE == ["b", "c"]


def test_without_a_cache_nothing_is_kept(cache: StageCache) -> None:
    run_recipe(THREE, options=RunOptions("out", cached=False))
    assert cache.entries() == []


def test_a_recipe_may_be_named_and_changed() -> None:
    with pytest.raises(CheckpointError, match=r"no\.safetensors"):
        run_recipe("smoke", sets=["model.checkpoint=no.safetensors"])


def test_a_damaged_artefact_in_the_cache_is_made_again(here: Path, cache: StageCache) -> None:
    first = run_recipe(THREE, options=RunOptions("one")).manifest
    path = cache.root / "entries" / first["stages"][2]["key"] / "files" / "text.txt"
    path.write_bytes(b"zc")
    said: list[str] = []
    second = run_recipe(THREE, Context(say=said.append), RunOptions("two")).manifest
    assert any("is damaged and will be made again: text.txt was changed" in line for line in said)
    assert second["outputs"] == first["outputs"]
    assert (here / "two" / "text.txt").read_text() == "ac"
    assert [s["cached"] for s in second["stages"]] == [True, True, False]


# Where it goes


def test_by_default_it_goes_where_recipe_and_inputs_say_and_replaces_itself(here: Path) -> None:
    run = run_recipe(THREE)
    assert str(run.folder).startswith("runs/words-")
    assert len(Path(run.folder).name) == len("words-") + 8
    assert run_recipe(THREE).folder == run.folder
    assert [p.name for p in (here / "runs").iterdir()] == [Path(run.folder).name]


def test_another_recipe_seed_or_input_has_another_folder(here: Path) -> None:
    (here / "net.pth").write_bytes(b"weights")
    named = replace(THREE, model=ModelSection("net.pth"))
    runs = [THREE, replace(THREE, seed=1), replace(THREE, stages=THREE.stages[:1]), named]
    folders = [run_recipe(one).folder for one in runs]
    (here / "net.pth").write_bytes(b"other weights")
    assert len({*folders, run_recipe(named).folder}) == 5


def test_the_recipe_may_say_where_runs_go(here: Path) -> None:
    assert Path(run_recipe(replace(THREE, output="mine/")).folder).parent == Path("mine")


@pytest.mark.parametrize("way", ["named", "by default", "variants"])
def test_a_strangers_folder_is_refused_before_any_stage(here: Path, way: str) -> None:
    one = replace(THREE, variants={"x": THREE, "y": THREE}) if way == "variants" else THREE
    options = RunOptions("out", force=True) if way == "named" else RunOptions()
    folder = Path("out") if way == "named" else Path(run_recipe(one).folder)
    if way == "named":
        folder.mkdir()
    else:
        (folder / "manifest.json").unlink()
    (folder / "mine").touch()
    DONE.clear()
    with pytest.raises(OutputError, match="was not made by attendc"):
        run_recipe(one, options=replace(options, cached=False))
    assert DONE == []
    assert (folder / "mine").exists()


def test_a_folder_that_is_named_is_replaced_only_by_force(here: Path) -> None:
    run_recipe(THREE, options=RunOptions("out"))
    DONE.clear()
    changed = replace(THREE, seed=1)
    with pytest.raises(OutputError, match="exists already"):
        run_recipe(changed, options=RunOptions("out"))
    assert DONE == []
    assert run_recipe(changed, options=RunOptions("out", force=True)).manifest["seed"] == 1


def test_a_run_by_uri(here: Path) -> None:
    MemoryFileSystem.store.clear()
    run = run_recipe(THREE, options=RunOptions("memory://bucket/out"))
    assert run.folder == "memory://bucket/out"
    names = {Path(p).relative_to("/bucket/out").parts[0] for p in MemoryFileSystem().find("memory://bucket/out")}
    assert names == {"text.txt", "other.txt"} | RUN_FILES
    assert MemoryFileSystem().cat("/bucket/out/text.txt") == b"ac"
    assert nothing_in(here)
    DONE.clear()
    with pytest.raises(OutputError, match="exists already"):
        run_recipe(replace(THREE, seed=1), options=RunOptions("memory://bucket/out"))
    assert DONE == []
    run_recipe(replace(THREE, seed=1), options=RunOptions("memory://bucket/out", force=True))


def test_the_recipe_may_name_a_uri_for_runs(here: Path) -> None:
    MemoryFileSystem.store.clear()
    run = run_recipe(replace(THREE, output="memory://bucket/runs"))
    assert str(run.folder).startswith("memory://bucket/runs/words-")
    assert run_recipe(replace(THREE, output="memory://bucket/runs")).folder == run.folder
    assert nothing_in(here)


def test_a_checkpoint_by_uri_must_have_its_checksum(here: Path) -> None:
    MemoryFileSystem.store.clear()
    MemoryFileSystem().pipe_file("memory://bucket/net.pth", b"weights")
    (here / "net.pth").write_bytes(b"weights")
    right = ModelSection("memory://bucket/net.pth", sha256(here / "net.pth"))
    run = run_recipe(replace(THREE, model=right), options=RunOptions("out"))
    assert run.manifest["inputs"]["checkpoint"]["path"] == "memory://bucket/net.pth"
    DONE.clear()
    with pytest.raises(CheckpointError, match="f" * 64):
        run_recipe(replace(THREE, model=replace(right, sha256="f" * 64)), options=RunOptions("out2", cached=False))
    assert DONE == []
    assert not (here / "out2").exists()


# Whole or not at all


def test_a_failed_gate_leaves_no_folder(here: Path, cache: StageCache) -> None:
    with pytest.raises(ParityError, match=r"agree on 50\.00%") as caught:
        run_recipe(FAILING, options=RunOptions("deep/er/out", junit=here / "gates.xml"))
    assert caught.value.exit_code == 6
    assert [p.name for p in here.iterdir()] == ["gates.xml"]
    assert gates_in(here / "gates.xml") == (1, 1, 0)
    assert len(cache.entries()) == 2  # what was done, verification too, need not be done again


def test_a_gate_that_is_overruled_goes_on_and_warns(here: Path) -> None:
    one = recipe(word("a"), judge(0.5, gate=False), word("b"))
    run = run_recipe(one, options=RunOptions("out", junit=here / "gates.xml"))
    (text,) = run.manifest["warnings"]
    assert text.startswith("gate failed and was overridden: graph and onnx agree on 50.00%")
    assert (here / "out" / "text.txt").read_text() == "ab"
    assert gates_in(here / "gates.xml") == (1, 1, 0)


def test_a_stage_that_errs_leaves_no_folder_and_tells_it(here: Path) -> None:
    one = recipe(judge(), word("b", needs="key"))
    with pytest.raises(ConversionError):
        run_recipe(one, options=RunOptions("out", junit=here / "gates.xml"))
    assert [p.name for p in here.iterdir()] == ["gates.xml"]
    assert gates_in(here / "gates.xml") == (2, 0, 1)


def test_an_error_after_a_gate_that_was_overruled_is_told_too(here: Path) -> None:
    one = recipe(judge(0.5, gate=False), word("b", needs="key"))
    with pytest.raises(ConversionError):
        run_recipe(one, options=RunOptions("out", junit=here / "gates.xml"))
    assert gates_in(here / "gates.xml") == (2, 1, 1)


def test_what_cannot_be_opened_is_told_to_ci_too(here: Path) -> None:
    with pytest.raises(CheckpointError):
        run_recipe(
            replace(THREE, model=ModelSection("memory://bucket/none.pth")), options=RunOptions(junit=here / "gates.xml")
        )
    assert gates_in(here / "gates.xml") == (1, 0, 1)


def test_gates_that_hold_are_told_too(here: Path) -> None:
    run_recipe(recipe(judge(), word()), options=RunOptions("out", junit=here / "gates.xml"))
    assert gates_in(here / "gates.xml") == (1, 0, 0)


@pytest.mark.parametrize("moment", ["render_report", "model_card", "write_manifest"])
@pytest.mark.parametrize("output", ["out", "memory://bucket/out"])
def test_ctrl_c_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch, moment: str, output: str) -> None:
    MemoryFileSystem.store.clear()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"attendc.runner.folder.{moment}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(THREE, options=RunOptions(output))
    assert nothing_in(here)
    assert not MemoryFileSystem.store


@pytest.mark.parametrize("output", ["out", "memory://bucket/out"])
@pytest.mark.parametrize("size", [0, 2000])
def test_a_full_disk_leaves_nothing(here: Path, output: str, size: int) -> None:
    """2,000 bytes are enough for the stages, and too few for the page."""
    MemoryFileSystem.store.clear()
    with files_of_at_most(size), pytest.raises(OutputError, match="File too large"):
        run_recipe(recipe(word()), options=RunOptions(output))
    assert nothing_in(here)
    assert not MemoryFileSystem.store


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_cannot_be_written_is_refused_before_any_stage(here: Path) -> None:
    (here / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        run_recipe(THREE, options=RunOptions("closed/out"))
    assert DONE == []


# What it costs to find everything done


@pytest.mark.slow
def test_a_run_from_the_cache_imports_no_torch(small_checkpoint: Path, here: Path) -> None:
    stages = (StageEntry("convert", ConvertConfig(("torchscript",))), StageEntry("verify", VerifyConfig(images=5)))
    one = Recipe("small", stages, ModelSection(str(small_checkpoint), factory="nets:small"), threads=1)
    first = run_recipe(one, options=RunOptions("first"))
    script = (
        "import json, sys\n"
        "import attendc\n"
        "run = attendc.run_recipe('first/recipe.resolved.yaml', options=attendc.RunOptions('second'))\n"
        "heavy = {'torch', 'tensorflow', 'onnx', 'nncf', 'matplotlib'} & sys.modules.keys()\n"
        "print(json.dumps([sorted(heavy), [s['cached'] for s in run.manifest['stages']], run.manifest['outputs']]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [[], [True, True], first.manifest["outputs"]]
