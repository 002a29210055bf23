"""The commented recipe of `attendc recipe init`."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from small_stages import Grow

from attendc.reader.load import CONFIGS, recipe_from_text
from attendc.reader.template import recipe_template

TEMPLATE = recipe_template()


def test_it_loads_as_it_is() -> None:
    recipe = recipe_from_text(TEMPLATE)
    assert recipe.model.checkpoint == "examples/attendnext_pico.safetensors"
    assert [entry.step for entry in recipe.stages] == ["quantize", "convert", "verify"]
    assert [entry.config for entry in recipe.stages] == [CONFIGS[entry.step]() for entry in recipe.stages]


def test_every_line_that_is_switched_off_can_be_switched_on() -> None:
    recipe = recipe_from_text(re.sub(r"(?m)^( *)#(?! )", r"\1", TEMPLATE))
    assert [entry.step for entry in recipe.stages] == list(CONFIGS)
    assert [entry.config for entry in recipe.stages] == [config() for config in CONFIGS.values()]
    assert recipe.name == "my-run"


@pytest.mark.parametrize("step", CONFIGS)
def test_every_field_of_a_stage_is_in_it_with_its_help(step: str) -> None:
    _, _, after = TEMPLATE.partition(f"- {step}:\n")
    own = re.split(r"(?m)^  #?- |^  # ", after)[0]
    keys = re.findall(r"(?m)^      #(\w+): ", own)
    assert keys == [field.name for field in fields(CONFIGS[step])]
    assert all(re.search(rf"(?m)^      # .+\n      #{key}: ", own) for key in keys)


@pytest.mark.parametrize("checkpoint", ["a b: c.pt", "${HOME}.pt", "1e3", "# x"])
def test_any_checkpoint_can_be_given(checkpoint: str) -> None:
    assert recipe_from_text(recipe_template(checkpoint)).model.checkpoint == checkpoint


def test_lines_fit_on_a_screen() -> None:
    assert max(map(len, TEMPLATE.splitlines())) <= 120


def test_without_the_usual_stages_the_first_is_switched_on() -> None:
    lines = recipe_template(stages={"grow": Grow}).splitlines()
    assert "  - grow:" in lines
    assert "      #sizes: [1, 2]" in lines
