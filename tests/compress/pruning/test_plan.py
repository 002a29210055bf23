"""A plan can be read, changed, joined with the next, and is refused where it is damaged."""

from __future__ import annotations

import json

import pytest

from attendc.compress.pruning.plan import PrunePlan, joined, plan_from_json, plan_to_json
from attendc.errors import UsageError

PLAN = PrunePlan({"stem.0": (0, 2, 3), "stages.1.0": (1, 4)}, ("stages.2.1",), {"stem.0": 4, "stages.1.0": 8})

JSON = """{
  "version": 1,
  "blocks_removed": ["stages.2.1"],
  "layers": {
    "stem.0": {"of": 4, "keep": [0, 2, 3]},
    "stages.1.0": {"of": 8, "keep": [1, 4]}
  }
}
"""


def test_json_has_one_line_a_layer() -> None:
    assert plan_to_json(PLAN) == JSON


@pytest.mark.parametrize("plan", [PLAN, PrunePlan(), PrunePlan(removed=("a", "b"))])
def test_a_plan_survives_json(plan: PrunePlan) -> None:
    assert plan_from_json(plan_to_json(plan)) == plan


def test_channels_may_be_typed_in_any_order_and_twice() -> None:
    assert plan_from_json(JSON.replace("[0, 2, 3]", "[3, 0, 2, 0]")) == PLAN


def changed(**entries: object) -> str:
    return json.dumps({**json.loads(JSON), **entries})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "JSONDecodeError"),
        (JSON[:-20], "JSONDecodeError"),
        ("[]", "TypeError"),
        ("null", "TypeError"),
        ("{}", "KeyError: 'version'"),
        ('{"version": 1}', "KeyError: 'layers'"),
        (changed(version=2), "version 2, this attendc reads 1"),
        (changed(layers=[]), "AttributeError"),
        (changed(layers={"a": [1, 2]}), "TypeError"),
        (changed(layers={"a": {"of": 4}}), "KeyError: 'keep'"),
        (changed(layers={"a": {"keep": [1]}}), "KeyError: 'of'"),
        (changed(layers={"a": {"of": 4, "keep": 2}}), "TypeError"),
        (changed(layers={"a": {"of": 4, "keep": ["first"]}}), "'first' is no channel"),
        (changed(layers={"a": {"of": 4, "keep": [0.5]}}), r"0\.5 is no channel"),
        (changed(layers={"a": {"of": 4, "keep": "01"}}), "'0' is no channel"),
        (changed(layers={"a": {"of": 4, "keep": [True]}}), "True is no channel"),
        (changed(blocks_removed=3), "3 is no list of blocks"),
        (changed(blocks_removed="stages.2.1"), "is no list of blocks"),
    ],
)
def test_a_damaged_plan_is_refused_with_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_from_json(text)


def test_whoever_has_no_plan_is_told_how_to_get_one() -> None:
    with pytest.raises(UsageError) as e:
        plan_from_json("no JSON")
    assert "--plan-only" in (e.value.hint or "")


# One after the other


def test_joined_counts_in_channels_of_the_first_network() -> None:
    # of 0 2 3 the second and the third stay: 2 and 3
    second = PrunePlan({"stem.0": (1, 2)}, sizes={"stem.0": 3})
    assert joined(PLAN, second).kept["stem.0"] == (2, 3)
    assert joined(PLAN, second).sizes["stem.0"] == 4


def test_joined_has_the_layers_and_blocks_of_both() -> None:
    second = PrunePlan({"head": (0, 1)}, ("stages.1.1",), {"head": 6})
    assert joined(PLAN, second) == PrunePlan(
        {**PLAN.kept, "head": (0, 1)}, ("stages.2.1", "stages.1.1"), {**PLAN.sizes, "head": 6}
    )


def test_joined_with_nothing_is_the_plan_itself() -> None:
    assert joined(PLAN, PrunePlan()) == joined(PrunePlan(), PLAN) == PLAN
