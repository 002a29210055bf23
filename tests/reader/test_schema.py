"""The JSON Schema for editors: what it takes, what it marks, what it tells."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from recipes_at_random import recipes
from small_stages import STAGES

from attendc.reader.load import CONFIGS
from attendc.reader.schema import recipe_schema
from attendc.reader.sources import shipped_recipes
from attendc.reader.template import recipe_template
from attendc.reader.write import recipe_to_yaml
from attendc.recipe import Recipe

SCHEMA = recipe_schema(STAGES)
EDITOR = Draft202012Validator(SCHEMA)
TOP: dict[str, Any] = {"version": 1, "model": "a.pt", "stages": ["grow"]}


def grow(**options: Any) -> dict[str, Any]:
    return {**TOP, "stages": [{"grow": options}]}


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize(
    "document",
    [
        TOP,
        {"extends": "int8-ptq"},
        {"extends": ["a.yaml", "b.yaml"], "vars": {"a": [1]}, "variants": {"x": {"a": 1}, "y": None}},
        {**TOP, "model": {"checkpoint": "a.pt", "trust": "${trust}", "input_shape": ["${c}", 8, 8], "mean": "${m}"}},
        {**TOP, "model": None, "vars": None, "data": None},
        {**TOP, "seed": "${seed}", "threads": "${env:N}", "device": "${d}", "target": "${t}"},
        {**TOP, "stages": "${stages}"},
        {**TOP, "stages": ["grow", {"grow": None}, {"cut": "${cut}"}, "${stage}"]},
        grow(epochs="${epochs}", mode="${mode}", bits="${b}", gate="${g}", calib="${c}", shape="${s}", budget="x"),
        grow(sizes=[1, "${n}"], keep={"a": "${part}"}, inner={"width": "${w}"}, shape=[1, "${n}"]),
        grow(inner="${inner}"),
    ],
)
def test_what_the_reader_takes_is_not_marked(document: dict[str, Any]) -> None:
    assert [error.message for error in EDITOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 1, "model": "a.pt"},
        {**TOP, "version": 2},
        {**TOP, "version": "${v}"},
        {**TOP, "sead": 3},
        {**TOP, "seed": -1},
        {**TOP, "seed": "3"},
        {**TOP, "threads": 0},
        {**TOP, "device": "gpu"},
        {**TOP, "model": {"chekpoint": "a.pt"}},
        {**TOP, "model": {"checkpoint": 3}},
        {**TOP, "target": {"core": "8086"}},
        {**TOP, "stages": []},
        {**TOP, "stages": ["gorw"]},
        {**TOP, "stages": [{"grow": None, "cut": {"by": 1}}]},
        {**TOP, "stages": [{}]},
        {**TOP, "stages": [{"cut": {}}]},
        grow(epochs="two"),
        grow(epochs=0),
        grow(mode="fsat"),
        grow(bits=4),
        grow(lr=1),
        grow(sizes=[0]),
        grow(shape=[1]),
        grow(keep={"a": 2}),
        grow(inner={"wdith": 1}),
        grow(budget=[]),
        grow(epocs=3),
    ],
)
def test_what_the_reader_refuses_is_marked(document: dict[str, Any]) -> None:
    assert list(EDITOR.iter_errors(document))


@settings(max_examples=20, deadline=None)
@given(recipes())
def test_no_recipe_that_is_written_is_marked(recipe: Recipe) -> None:
    document = yaml.safe_load(recipe_to_yaml(recipe, stages=STAGES))
    assert [error.message for error in EDITOR.iter_errors(document)] == []


def test_help_and_defaults_stand_at_the_fields() -> None:
    stage = SCHEMA["properties"]["stages"]["anyOf"][0]["items"]["anyOf"][1]["properties"]["grow"]
    assert stage["description"] == "Grow."
    fields = stage["anyOf"][0]["properties"]
    assert (fields["epochs"]["description"], fields["epochs"]["default"]) == ("Passes.", 2)
    assert fields["keep"]["default"] == {}
    assert fields["inner"]["default"] == {"width": 3}
    assert SCHEMA["properties"]["seed"]["description"] == "Of everything that is drawn by chance."


def test_every_field_of_every_stage_has_a_description() -> None:
    stages = recipe_schema()["properties"]["stages"]["anyOf"][0]["items"]["anyOf"][1]["properties"]
    assert list(stages) == list(CONFIGS)
    bare = [
        f"{s}.{f}" for s in stages for f, x in stages[s]["anyOf"][0]["properties"].items() if "description" not in x
    ]
    assert bare == []


@pytest.mark.parametrize("name", shipped_recipes())
def test_no_shipped_recipe_is_marked(name: str) -> None:
    text = (resources.files("attendc.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    assert [e.message for e in Draft202012Validator(recipe_schema()).iter_errors(yaml.safe_load(text))] == []


def test_the_template_is_not_marked() -> None:
    document = yaml.safe_load(recipe_template())
    assert [e.message for e in Draft202012Validator(recipe_schema()).iter_errors(document)] == []
