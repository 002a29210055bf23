"""A recipe as YAML and as data, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings, strategies as st
from recipes_at_random import recipes, texts
from small_stages import STAGES, Cut, Grow, read

from attendc.reader.dump import dump, dump_inline
from attendc.reader.nodes import plain
from attendc.reader.parse import parse
from attendc.reader.write import merged_yaml, recipe_to_data, recipe_to_yaml
from attendc.recipe import ModelSection, Recipe, StageEntry

SMALL = Recipe("small", (StageEntry("grow", Grow(epochs=3)), StageEntry("cut", Cut(0.5)), StageEntry("grow", Grow())))


@settings(max_examples=50, deadline=None)
@given(recipes(), st.booleans())
def test_a_recipe_written_and_read_is_the_same(recipe: Recipe, defaults: bool) -> None:
    again = read(recipe_to_yaml(recipe, defaults=defaults, stages=STAGES))
    assert again == recipe
    assert repr(again) == repr(recipe)  # 1, 1.0 and true are equal but not the same


@settings(max_examples=20, deadline=None)
@given(recipes())
def test_a_recipe_as_data_survives_json(recipe: Recipe) -> None:
    data = recipe_to_data(recipe)
    assert json.loads(json.dumps(data)) == data


@settings(max_examples=200, deadline=None)
@given(texts(), texts())
@example("0o7", "1e3")
def test_written_text_is_read_as_it_was(key: str, value: str) -> None:
    faults: list[Any] = []
    for written in (dump({key: value, "list": [value]}), dump_inline({key: value, "list": [value]})):
        node = parse(written, "r.yaml", faults)
        assert faults == []
        assert node is not None
        assert plain(node) == {key: value, "list": [value]}


@pytest.mark.parametrize("value", ["on", "1e-3", "08", "0o17", "1:30", "2024-01-01", "3", "~", "=", "1_000"])
def test_text_is_text_for_other_readers_of_yaml_too(value: str) -> None:
    assert yaml.safe_load(dump({"a": value})) == {"a": value}


def test_only_what_differs_from_the_defaults_is_written() -> None:
    recipe = replace(SMALL, model=ModelSection("a.pt", mean=(0.5, 0.25)), seed=3)
    first, *lines = recipe_to_yaml(recipe, stages=STAGES).splitlines()
    assert first == "# A recipe of attendc with its variables filled in; what is not written has its default."
    assert "\n".join(lines) == (
        """version: 1
name: small
model:
  checkpoint: a.pt
  mean: [0.5, 0.25]
seed: 3
stages:
  - grow:
      epochs: 3
  - cut:
      by: 0.5
  - grow"""
    )


def test_with_defaults_every_field_is_written() -> None:
    written = yaml.safe_load(recipe_to_yaml(SMALL, defaults=True, stages=STAGES))
    assert written == recipe_to_data(SMALL)
    assert written["stages"][2]["grow"] == {
        "mode": "slow",
        "bits": 8,
        "epochs": 2,
        "lr": 0.001,
        "calib": 256,
        "budget": None,
        "sizes": [1, 2],
        "shape": None,
        "keep": {},
        "inner": {"width": 3},
        "gate": True,
    }
    assert written["target"] == {"core": None}
    assert written["threads"] is None


def test_what_differs_between_variants_becomes_a_variable() -> None:
    text = """version: 1
name: r
vars:
  mode: slow
  epochs: 5
model:
  checkpoint: a.pt
stages:
  - grow:
      mode: ${mode}
      epochs: ${epochs}
variants:
  s:
    mode: slow
    epochs: 5
  f:
    mode: fast
    epochs: 7
"""
    assert recipe_to_yaml(read(text), stages=STAGES).partition("\n")[2] == text


def test_one_and_one_point_zero_and_true_are_different_things() -> None:
    text = "version: 1\nmodel: {checkpoint: a.pt, args: {x: '${x}'}}\nstages: [{grow: {budget: '${x}'}}]\n"
    recipe = read(text + "variants: {a: {x: 1}, b: {x: 1.0}}\n")
    again = read(recipe_to_yaml(recipe, stages=STAGES))
    assert [repr(one.model.args["x"]) for one in again.variants.values()] == ["1", "1.0"]
    assert [repr(one.stages[0].config.budget) for one in again.variants.values()] == ["1", "1.0"]


def test_two_fields_of_one_name_become_two_variables() -> None:
    text = """version: 1
model: a.pt
stages: [{grow: {epochs: "${a}"}}, {grow: {epochs: "${b}"}}]
variants: {x: {a: 3, b: 4}, y: {a: 5, b: 6}}
"""
    written = yaml.safe_load(recipe_to_yaml(read(text), stages=STAGES))
    assert written["vars"] == {"epochs": 3, "epochs__2": 4}
    assert written["variants"] == {"x": {"epochs": 3, "epochs__2": 4}, "y": {"epochs": 5, "epochs__2": 6}}


def test_what_a_file_comes_to(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("version: 1\nvars: {n: 5}\nmodel: a.pt\nstages: [{verify: {images: '${n}'}}]\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ndata: '${env:WHERE}'\n")
    written = merged_yaml(tmp_path / "mine.yaml", ["vars.n=7"], environment={"WHERE": "here"})
    assert yaml.safe_load(written) == {
        "version": 1,
        "name": "mine",
        "model": {"checkpoint": "a.pt"},
        "data": {"source": "here"},
        "stages": [{"verify": {"images": 7}}],
    }
    full = yaml.safe_load(merged_yaml(tmp_path / "mine.yaml", defaults=True, environment={"WHERE": "here"}))
    assert full["stages"][0]["verify"]["images"] == 5
    assert full["seed"] == 0
