"""`attendc recipe` as typed: check, show, list, describe and start recipes; nothing of these runs one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands import cells, names, told
from jsonschema import Draft202012Validator

from attendc import load_recipe
from attendc.cli.main import main

pytestmark = pytest.mark.usefixtures("here")

SHIPPED = [
    "compare-ptq-qat",
    "float-all-targets",
    "int8-all-targets",
    "int8-arm",
    "int8-ptq",
    "int8-qat",
    "prune-qat-arm",
    "smoke",
]
STEPS = ["train", "prune", "mask", "simplify", "quantize", "convert", "verify", "bench", "analyze"]

ONE = """\
version: 1
model: a.safetensors
stages:
  - convert: {dtypes: [float32]}
"""


@pytest.fixture
def here(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with `tmp` and the sound recipe `one.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(ONE)


# validate


def test_a_sound_recipe_is_told_with_its_stages(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "validate", "one.yaml", "compare-ptq-qat"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "one: valid; stages: convert",
        "compare-ptq-qat: valid; stages: quantize, convert, verify; variants: ptq, qat",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert main(["recipe", "validate", name]) == 0


def test_json_lists_the_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "validate", "one.yaml", "smoke", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"valid": ["one", "smoke"]}


def test_the_faults_of_all_files_are_told_together(capfd: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text(ONE + "seed: -1\n")
    Path("b.yaml").write_text(ONE + "sed: 1\n")
    assert main(["recipe", "validate", "b.yaml", "one.yaml", "a.yaml", "nowhere.yaml"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    first, second, third = err.splitlines()
    assert first == "error: a.yaml:5: seed: -1: must be an integer from 0 to 4294967295"
    assert second.startswith("b.yaml:5: sed: 1: no such key; known are version, name, ")
    assert second.endswith("(did you mean seed?)")
    assert third.startswith("nowhere.yaml: no such file and no shipped recipe of that name")


def test_under_json_each_fault_of_all_files_is_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text(ONE + "seed: -1\n")
    Path("b.yaml").touch()
    assert main(["recipe", "validate", "b.yaml", "a.yaml", "--json"]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert [(fault["file"], fault["line"], fault["path"]) for fault in error["faults"]] == [
        ("a.yaml", 5, "seed"),
        ("b.yaml", 0, ""),
    ]


def test_set_is_checked_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "validate", "one.yaml", "--set=seed=3"]) == 0
    capfd.readouterr()
    assert main(["recipe", "validate", "one.yaml", "--set=seed=-3"]) == 2
    assert told(capfd) == "error: --set seed=-3: seed: -3: must be an integer from 0 to 4294967295"


# show


def test_show_prints_what_differs_from_the_defaults(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "one.yaml", "--set=stages.convert.to=[onnx]", "--set=seed=0"]) == 0
    assert yaml.safe_load(capfd.readouterr().out) == {
        "version": 1,
        "name": "one",
        "model": {"checkpoint": "a.safetensors"},
        "stages": [{"convert": {"to": ["onnx"], "dtypes": ["float32"]}}],
    }


def test_show_with_defaults_writes_every_value(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "one.yaml", "--defaults"]) == 0
    shown = yaml.safe_load(capfd.readouterr().out)
    assert (shown["seed"], shown["device"], shown["model"]["trust"]) == (0, "cpu", False)
    assert shown["stages"][0]["convert"].keys() == {"to", "dtypes", "io", "opset", "ir_version", "allow_float"}


@pytest.mark.parametrize("given", [[], ["--defaults"]])
@pytest.mark.parametrize("name", SHIPPED)
def test_what_show_prints_is_the_same_recipe(name: str, given: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", name, *given]) == 0
    Path("shown.yaml").write_text(capfd.readouterr().out)
    assert load_recipe("shown.yaml") == load_recipe(name)


def test_show_as_json_is_the_data_that_a_manifest_holds(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "one.yaml", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["model"]["checkpoint"] == "a.safetensors"
    assert shown["stages"][0]["convert"]["dtypes"] == ["float32"]


def test_show_tells_the_faults(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "one.yaml", "--set=device=gpu"]) == 2
    assert told(capfd).startswith('error: --set device=gpu: device: "gpu": must be one of cpu, cuda (did you')


# list


def test_list_names_what_ships_and_every_stage(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list"]) == 0
    assert [row[0] for row in cells(capfd.readouterr().out) if row[0]] == SHIPPED + STEPS


def test_list_as_json_says_what_each_does(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert (list(listed["recipes"]), list(listed["stages"])) == (SHIPPED, STEPS)
    assert listed["recipes"]["smoke"].startswith("Seconds: does attendc work on this machine?")
    assert all(text.endswith((".", "?")) for text in (*listed["recipes"].values(), *listed["stages"].values()))


# schema


def test_the_schema_goes_to_stdout_or_to_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "schema"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert main(["recipe", "schema", "-o", "made/schema.json"]) == 0
    assert capfd.readouterr().out == "made/schema.json: written\n"
    assert json.loads(Path("made/schema.json").read_text()) == printed


def test_editors_accept_and_refuse_by_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "schema"]) == 0
    editor = Draft202012Validator(json.loads(capfd.readouterr().out))
    assert editor.is_valid(yaml.safe_load(ONE))
    assert not editor.is_valid(yaml.safe_load(ONE + "sed: 1\n"))


def test_a_schema_does_not_take_the_place_of_a_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "schema", "-o", "tmp"]) == 2
    assert told(capfd) == "error: tmp is a folder. Give the name of a file"


# init


def test_init_writes_a_recipe_that_is_valid(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "init"]) == 0
    assert capfd.readouterr().out == "recipe.yaml: written. Now: attendc run recipe.yaml\n"
    assert main(["recipe", "validate", "recipe.yaml"]) == 0
    assert capfd.readouterr().out == "recipe: valid; stages: quantize, convert, verify\n"
    text = Path("recipe.yaml").read_text()
    assert all(f"{step}:" in text for step in STEPS)


def test_init_takes_a_place_and_a_checkpoint(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "init", "made/mine.yaml", "--checkpoint=my net ${x}.safetensors", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"written": "made/mine.yaml"}
    recipe = load_recipe("made/mine.yaml")
    assert (recipe.name, recipe.model.checkpoint) == ("mine", "my net ${x}.safetensors")


def test_init_keeps_a_file_that_exists_without_force(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "init", "one.yaml"]) == 2
    assert told(capfd) == "error: one.yaml exists already. Add --force to replace it, or give another name"
    assert Path("one.yaml").read_text() == ONE
    assert main(["recipe", "init", "one.yaml", "--force"]) == 0
    assert Path("one.yaml").read_text() != ONE


def test_init_does_not_take_the_place_of_a_folder(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "init", "tmp", "--force"]) == 2
    assert told(capfd) == "error: tmp is a folder. Give the name of a file"
    assert names(Path()) == ["one.yaml", "tmp"]
