"""A core's budget as recipes have it: faults are found before anything runs, and the target is its core."""

from __future__ import annotations

import pytest

from attendc import recipe_from_text
from attendc.errors import UsageError
from attendc.reader.faults import RecipeError
from attendc.stages.prune import _with_core, prune_options
from attendc.stages.prune_config import PruneConfig

RECIPE = """
version: 1
model: examples/attendnext_nano.safetensors
stages:
  - prune: {{budget: {budget}}}
"""


@pytest.mark.parametrize("budget", ["cortex-a76:0.6", "cortex-a72:40M", "0.6", "40M"])
def test_a_budget_that_can_be_meant_is_a_recipe(budget: str) -> None:
    config = recipe_from_text(RECIPE.format(budget=budget), file="mine.yaml").stages[0].config
    assert str(config.budget) == budget


@pytest.mark.parametrize(
    ("budget", "text"),
    [("cortex-a67:0.6", "no core 'cortex-a67'"), ("cortex-a76:half", "budget=cortex-a76:half is no budget")],
)
def test_what_cannot_be_meant_is_found_when_the_recipe_is_read(budget: str, text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        recipe_from_text(RECIPE.format(budget=budget), file="mine.yaml")


def test_two_budgets_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="macs and budget are two budgets"):
        prune_options(PruneConfig(macs=0.5, budget="cortex-a76:0.6"))


@pytest.mark.parametrize(
    ("budget", "core", "meant"),
    [
        ("0.6", "cortex-a72", "cortex-a72:0.6"),
        (0.6, "cortex-a72", "cortex-a72:0.6"),
        (40e6, "cortex-a72", "cortex-a72:40000000"),
        ("cortex-a76:0.6", "cortex-a72", "cortex-a76:0.6"),
        ("0.6", "", "0.6"),
    ],
)
def test_a_budget_without_a_core_is_of_the_recipe_s_target(budget: str | float, core: str, meant: str) -> None:
    assert prune_options(_with_core(PruneConfig(budget=budget), core)).amount == meant
