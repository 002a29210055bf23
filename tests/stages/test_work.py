"""What stands between two stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from attendc.recipe import ModelSection
from attendc.stages.work import CHECKPOINT, SOURCE, Made, Work, merge_told

MODEL = ModelSection(
    "in/net.pth", "", "attendnext_nano", "", {"width": 2}, "ema", True, (1, 8, 8), (0.5,), (0.25,), "pad"
)
VALUES = st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers())
TOLD = st.dictionaries(st.sampled_from("abcd"), VALUES)


def test_the_checkpoint_that_came_in_is_opened_as_the_recipe_says() -> None:
    request = Work(MODEL, "pets").source_request()
    assert request.path == Path("in/net.pth")
    assert (request.model, request.model_args, request.weights_key) == ("attendnext_nano", {"width": 2}, "ema")
    assert (request.trust, request.input_shape, request.mean, request.std) == (True, (1, 8, 8), (0.5,), (0.25,))
    assert (request.fit, request.data) == ("pad", "pets")


def test_a_factory_is_a_model_too() -> None:
    assert Work(ModelSection("net.pth", factory="mine:net")).source_request().model == "mine:net"


def test_without_a_checkpoint_of_a_stage_it_is_the_one_that_came_in() -> None:
    work = Work(MODEL, "pets", {"plan.json": Path("x")})
    assert work.checkpoint_request() == work.source_request()


def test_a_checkpoint_that_a_stage_left_is_opened_by_what_it_says_itself() -> None:
    work = Work(MODEL, "pets").after(Made({}, {CHECKPOINT: "b.safetensors"}), {"b.safetensors": Path("cache/b")})
    request = work.checkpoint_request()
    assert (request.path, request.model, request.weights_key, request.trust) == (Path("cache/b"), "", "", False)
    assert request.data == "pets"
    assert work.source_request().path == work.source == Path("in/net.pth")  # by which all is measured


def test_what_was_trained_takes_the_place_of_what_came_in() -> None:
    facts = {CHECKPOINT: "b.safetensors", SOURCE: "a.safetensors"}
    work = Work(MODEL, "pets", {"a.safetensors": Path("cache/a"), "b.safetensors": Path("cache/b")}, facts)
    assert work.source_request().path == Path("cache/a")
    assert work.checkpoint_request().path == Path("cache/b")


def test_code_of_the_users_is_named_for_each_checkpoint_of_a_stage() -> None:
    model = ModelSection("net.pth", factory="mine:net")
    work = Work(model).after(Made({}, {CHECKPOINT: "b.safetensors"}), {"b.safetensors": Path("cache/b")})
    assert work.checkpoint_request().model == "mine:net"


def test_files_and_facts_add_up_and_the_last_counts() -> None:
    work = Work(MODEL, "", {"a": Path("1"), "b": Path("1")}, {"x": 1, "y": 1}, {"outputs": {"a": 1}, "steps": [1]})
    after = work.after(Made({"outputs": {"b": 2}, "steps": [2]}, {"y": 2}), {"b": Path("2")})
    assert after.files == {"a": Path("1"), "b": Path("2")}
    assert after.facts == {"x": 1, "y": 2}
    assert after.told == {"outputs": {"a": 1, "b": 2}, "steps": [1, 2]}
    assert work.told == {"outputs": {"a": 1}, "steps": [1]}  # as it was


@pytest.mark.parametrize(
    ("before", "told", "expected"),
    [
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"history": [1]}, {"history": [1, 2]}, {"history": [1, 2]}),  # which each stage tells from the beginning
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ],
)
def test_sections_of_both_are_joined(before: dict[str, Any], told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merge_told(before, told) == expected


@given(TOLD, TOLD)
def test_nothing_told_is_lost_or_changed(before: dict[str, Any], told: dict[str, Any]) -> None:
    kept = {name: list(v) if isinstance(v, list) else v for name, v in before.items()}
    merged = merge_told(before, told)
    assert merged.keys() == before.keys() | told.keys()
    assert before == kept
    assert merge_told(before, {}) == before
    assert merge_told({}, told) == told
