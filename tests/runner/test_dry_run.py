"""What a run would do and would miss, without touching anything."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nets import SMALL_SPEC, small
from word_stages import DONE, recipe, word

import attendc
from attendc.checkpoint import save_checkpoint
from attendc.context import Context
from attendc.errors import AttendcError, UsageError
from attendc.files import cache_folder
from attendc.recipe import DataSection, ModelSection, Recipe
from attendc.runner.dry_run import plan_run
from attendc.runner.run import run_recipe

THREE = recipe(word("a"), word("b", needs="key"), word("c"))

pytestmark = pytest.mark.usefixtures("here")


def states(what: Recipe, **options: Any) -> list[str]:
    return [row["state"] for row in plan_run(what, Context(), **options)["stages"]]


def missing(what: Recipe) -> list[str]:
    return list(plan_run(what, Context())["missing"])


def listing(*folders: Path) -> list[tuple[str, float, int]]:
    """Return every path below with its time of change and its size."""
    paths = sorted(p for folder in folders for p in (folder, *folder.rglob("*")))
    return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths if p.exists()]


def test_nothing_done_yet() -> None:
    plan = plan_run(THREE, Context())
    assert plan["stages"] == [
        {"variant": "", "id": "01-word", "state": "runs", "why": "not done before"},
        {"variant": "", "id": "02-word", "state": "runs", "why": "what comes in is not known yet"},
        {"variant": "", "id": "03-word", "state": "runs", "why": "what comes in is not known yet"},
    ]
    assert plan["missing"] == []


def test_a_run_that_failed_goes_on_in_its_stage_and_then_all_is_cached(here: Path) -> None:
    with pytest.raises(AttendcError):
        run_recipe(THREE)
    assert states(THREE) == ["cached", "goes on", "runs"]
    (here / "key").touch()
    run_recipe(THREE)
    assert states(THREE) == ["cached", "cached", "cached"]


def test_what_it_says_is_what_a_run_then_does(here: Path) -> None:
    (here / "key").touch()
    run_recipe(THREE)
    changed = replace(THREE, stages=(*THREE.stages[:2], word("C"), word("d")))
    assert states(changed) == ["cached", "cached", "runs", "runs"]
    DONE.clear()
    run_recipe(changed)
    assert DONE == ["C", "d"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": "02-word"}, ["cached", "runs", "runs"]),
        ({"until": "02-word"}, ["cached", "cached", "left out"]),
        ({"cached": False}, ["runs", "runs", "runs"]),
        ({"start": "02-word", "until": "02-word"}, ["cached", "runs", "left out"]),
    ],
)
def test_options_change_what_is_done(here: Path, options: dict[str, Any], expected: list[str]) -> None:
    (here / "key").touch()
    run_recipe(THREE)
    assert states(THREE, **options) == expected


def test_each_reason_names_the_option() -> None:
    rows = plan_run(THREE, Context(), start="02-word", until="02-word")["stages"]
    assert [row["why"] for row in rows] == ["not done before", "--from 02-word", "comes after --until 02-word"]
    assert {row["why"] for row in plan_run(THREE, Context(), cached=False)["stages"]} == {"--no-cache"}


def test_a_stage_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="--from tell is no stage"):
        plan_run(THREE, Context(), start="tell")


def test_each_variant_is_told() -> None:
    other = replace(THREE, stages=(word("a"),))
    run_recipe(other)
    plan = plan_run(replace(THREE, variants={"all": THREE, "one": other}), Context())
    assert [(r["variant"], r["state"]) for r in plan["stages"]] == [
        ("all", "cached"), ("all", "runs"), ("all", "runs"), ("one", "cached"),
    ]  # fmt: skip


# What is missing


def test_a_checkpoint_that_is_missing() -> None:
    text = "the checkpoint no.pth: give another with --set model.checkpoint=PATH"
    assert missing(recipe(word(), model=ModelSection("no.pth"))) == [text]


def test_data_that_is_missing() -> None:
    text = "the data nowhere: give other data with --set data.source=NAME_OR_PATH"
    assert missing(recipe(word(), data=DataSection("nowhere"))) == [text]


def test_data_that_nobody_names(here: Path) -> None:
    save_checkpoint(here / "net.safetensors", small("conv_bn_relu"), replace(SMALL_SPEC, data=""))
    (text,) = missing(recipe(word(), model=ModelSection("net.safetensors")))
    assert text.startswith("data: the checkpoint names none")


def test_a_file_that_a_stage_reads() -> None:
    assert missing(recipe(word(), word(add="plan.json"))) == ["the add of 02-word: there is no file plan.json"]


def test_a_checksum_that_is_not_met(here: Path) -> None:
    (here / "net.pth").write_bytes(b"weights")
    (text,) = missing(recipe(word(), model=ModelSection("net.pth", "f" * 64), data=DataSection("nowhere")))
    assert "f" * 64 in text
    assert states(recipe(word(), model=ModelSection("net.pth", "f" * 64))) == ["runs"]


@pytest.mark.parametrize("where", ["checkpoint", "data", "output"])
def test_a_package_for_a_scheme(where: str) -> None:
    uri = "floppy://a/b"
    sections: dict[str, Any] = {
        "checkpoint": {"model": ModelSection(uri)},
        "data": {"data": DataSection(uri)},
        "output": {"output": uri},
    }
    (text,) = missing(recipe(word(), **sections[where]))
    assert text.startswith(f"what {uri} needs: ")


def test_what_lies_elsewhere_is_not_fetched() -> None:
    one = recipe(word(), word(), model=ModelSection("memory://bucket/net.pth"))
    plan = plan_run(one, Context())
    assert plan["missing"] == []
    assert {(r["state"], r["why"]) for r in plan["stages"]} == {
        ("runs", "what goes in lies elsewhere and is fetched first")
    }


def test_data_elsewhere_that_a_checkpoint_names_is_not_fetched_either(here: Path) -> None:
    save_checkpoint(here / "net.safetensors", small("conv_bn_relu"), replace(SMALL_SPEC, data="memory://bucket/x.npz"))
    assert missing(recipe(word(), model=ModelSection("net.safetensors"))) == []


def test_a_package_that_a_variable_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    monkeypatch.setattr("attendc.runner.dry_run.find_spec", lambda _: None)
    (text,) = missing(recipe(word()))
    assert text.startswith("the package mlflow")


def test_what_several_variants_miss_is_told_once() -> None:
    one = recipe(word(), model=ModelSection("no.pth"))
    assert len(missing(replace(one, variants={"a": one, "b": replace(one, seed=1)}))) == 1


# Nothing is touched


def test_nothing_is_written_and_no_time_changes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attendc.locations.content._SETTLED_S", -1.0)  # else only digests of older files are kept
    (here / "set.npz").write_bytes(b"images")
    one = replace(THREE, data=DataSection("set.npz"))
    with pytest.raises(AttendcError):
        run_recipe(one)
    for path in cache_folder().rglob("*.json"):
        os.utime(path, (1e9, 1e9))
    (here / "other.npz").write_bytes(b"other images")
    before = listing(here, cache_folder())
    assert states(one) == ["cached", "goes on", "runs"]
    states(replace(one, data=DataSection("other.npz")))
    states(replace(one, variants={"a": one}))
    states(one, start="01-word")
    assert listing(here, cache_folder()) == before


def test_it_is_part_of_the_library() -> None:
    assert attendc.plan_run is plan_run
