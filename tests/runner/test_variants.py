"""A recipe with variants: a run of each in a folder of its own, and how they compare."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from nets import RUN_FILES
from word_stages import DONE, judge, recipe, word

from attendc.context import Context
from attendc.errors import ConversionError, OutputError, ParityError, UsageError
from attendc.files import sha256
from attendc.reader.load import load_recipe
from attendc.recipe import ModelSection, Recipe
from attendc.runner.run import RunOptions, run_recipe

SHORT = recipe(word("a"), judge(), name="both")
LONG = recipe(word("a"), word("b"), judge(0.995), name="both")
BOTH = replace(SHORT, variants={"short": SHORT, "long": LONG})

pytestmark = pytest.mark.usefixtures("here")


def failing(*stages: object) -> Recipe:
    return replace(BOTH, variants={"short": SHORT, "bad": recipe(*stages, name="both")})  # type: ignore[arg-type]


def test_each_variant_is_a_run_in_a_folder_of_its_own(here: Path) -> None:
    run = run_recipe(BOTH, options=RunOptions("out"))
    assert {p.name for p in (here / "out").iterdir()} == {
        "short", "long", "compare.html", "compare.json", "manifest.json",
    }  # fmt: skip
    for name, text in (("short", "a"), ("long", "ab")):
        folder = here / "out" / name
        assert {p.name for p in folder.iterdir()} == {"text.txt"} | RUN_FILES
        assert (folder / "text.txt").read_text() == text
        assert json.loads((folder / "manifest.json").read_text()) == json.loads(json.dumps(run.variants[name].manifest))
        assert run.variants[name].folder == f"out/{name}"


def test_what_variants_have_in_common_is_done_once() -> None:
    run_recipe(BOTH)
    assert DONE == ["a", "judge", "b", "judge"]


def test_the_manifest_tells_how_they_compare(here: Path) -> None:
    run = run_recipe(BOTH, options=RunOptions("out"))
    assert json.loads((here / "out" / "manifest.json").read_text()) == json.loads(json.dumps(run.manifest))
    assert json.loads((here / "out" / "compare.json").read_text()) == json.loads(json.dumps(run.manifest["comparison"]))
    assert list(run.manifest["variants"]) == ["short", "long"]
    assert run.manifest["variants"]["long"]["verification"]["pairs"][0]["top1_agreement"] == 0.995
    assert run.manifest["recipe"]["variants"].keys() == {"short", "long"}
    page = (here / "out" / "compare.html").read_text()
    assert "short" in page
    assert "long" in page


def test_outputs_are_named_by_the_folder_of_their_variant(here: Path) -> None:
    outputs = run_recipe(BOTH, options=RunOptions("out")).manifest["outputs"]
    assert outputs.keys() == {"short/text.txt", "long/text.txt"}
    assert {name: entry["sha256"] for name, entry in outputs.items()} == {n: sha256(here / "out" / n) for n in outputs}


def test_a_variant_comes_out_as_when_it_is_run_alone() -> None:
    alone = run_recipe(LONG).manifest
    beside = run_recipe(BOTH).variants["long"].manifest
    assert beside["outputs"] == alone["outputs"]
    assert [s["key"] for s in beside["stages"]] == [s["key"] for s in alone["stages"]]


def test_warnings_stand_with_their_variant_and_with_all(here: Path) -> None:
    warned = recipe(word("a", warning="mind the step"), judge(), name="both")
    context = Context()
    run = run_recipe(replace(BOTH, variants={"short": SHORT, "warned": warned}), context, RunOptions("out"))
    assert run.variants["short"].manifest["warnings"] == []
    assert run.variants["warned"].manifest["warnings"] == ["mind the step"]
    assert run.manifest["warnings"] == context.warnings == ["mind the step"]


@pytest.mark.parametrize("output", ["out", "memory://bucket/out"])
@pytest.mark.parametrize("how", ["error", "gate"])
def test_a_variant_that_fails_leaves_nothing(here: Path, output: str, how: str) -> None:
    MemoryFileSystem.store.clear()
    bad = failing(word("a"), word("x", needs="key")) if how == "error" else failing(word("a"), judge(0.5))
    with pytest.raises(ConversionError if how == "error" else ParityError):
        run_recipe(bad, options=RunOptions(output))
    assert list(here.iterdir()) == []
    assert not MemoryFileSystem.store


def test_a_variant_that_fails_leaves_an_older_run_as_it_was(here: Path) -> None:
    run_recipe(BOTH, options=RunOptions("out"))
    before = (here / "out" / "manifest.json").read_text()
    with pytest.raises(ParityError):
        run_recipe(failing(judge(0.5)), options=RunOptions("out", force=True))
    assert (here / "out" / "manifest.json").read_text() == before
    assert [p.name for p in here.iterdir()] == ["out"]


def test_each_variant_has_its_gates_in_a_file_of_its_own(here: Path) -> None:
    with pytest.raises(ParityError):
        run_recipe(failing(judge(0.5)), options=RunOptions("out", junit=here / "gates.xml"))
    assert {p.name for p in here.iterdir()} == {"gates.short.xml", "gates.bad.xml"}
    failures = [ET.parse(here / f"gates.{n}.xml").getroot().attrib["failures"] for n in ("short", "bad")]
    assert failures == ["0", "1"]


def test_variants_go_to_a_uri_in_one_piece(here: Path) -> None:
    MemoryFileSystem.store.clear()
    run = run_recipe(BOTH, options=RunOptions("memory://bucket/out"))
    assert run.variants["long"].folder == "memory://bucket/out/long"
    names = set(MemoryFileSystem().find("memory://bucket/out"))
    assert {"/bucket/out/compare.html", "/bucket/out/long/text.txt", "/bucket/out/short/stages/01-word.json"} <= names
    assert list(here.iterdir()) == []


def test_the_folder_is_named_by_all_that_goes_in(here: Path) -> None:
    (here / "net.pth").write_bytes(b"weights")
    named = replace(BOTH, variants={"short": SHORT, "long": replace(LONG, model=ModelSection("net.pth"))})
    first = run_recipe(named).folder
    assert run_recipe(named).folder == first
    (here / "net.pth").write_bytes(b"other weights")
    assert run_recipe(named).folder != first


@pytest.mark.parametrize("output", ["out", "memory://bucket/out"])
def test_what_is_there_is_refused_before_any_variant(output: str) -> None:
    MemoryFileSystem.store.clear()
    run_recipe(BOTH, options=RunOptions(output))
    DONE.clear()
    with pytest.raises(OutputError, match="exists already"):
        run_recipe(replace(BOTH, seed=1), options=RunOptions(output, cached=False))
    assert DONE == []


def test_one_variant_is_refused_before_it_is_run(here: Path) -> None:
    with pytest.raises(UsageError, match="short is the only variant"):
        run_recipe(replace(BOTH, variants={"short": SHORT}))
    assert DONE == []
    assert list(here.iterdir()) == []


def test_the_shipped_recipe_has_two_variants_that_differ_by_training() -> None:
    variants = load_recipe("compare-ptq-qat").variants
    assert {name: one.stages[0].config.mode for name, one in variants.items()} == {"ptq": "ptq", "qat": "qat"}
