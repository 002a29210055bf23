"""Spaces of designs: the shipped ones, what is said of a wrong file, and from choices to a design."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from attendc.explore.performance import Weights
from attendc.explore.space import SPACES, Space, read_space, space_from
from attendc.explore.space_file import DimensionsSection
from attendc.models.attendnext import CHOICES, AttendNeXtConfig
from attendc.reader.faults import Fault, RecipeError

SMALL = """\
version: 1
dimensions:
  resolution: [28, [24, 32]]
  widths: [[16, 32], [32], [64], [64, 128]]
  stem: [patch]
  stage_strides: [[1, 2, 2, 1], [2, 2, 1, 1]]
"""


def read(text: str, tmp_path: Path) -> Space:
    path = tmp_path / "small.yaml"
    path.write_text(text)
    return read_space(path)


def faults_of(text: str, tmp_path: Path) -> list[tuple[int, str, str, str]]:
    """Return line, path, message and suggestion of each fault."""
    with pytest.raises(RecipeError) as caught:
        read(text, tmp_path)
    assert {fault.file for fault in caught.value.faults} == {str(tmp_path / "small.yaml")}
    return [(fault.line, fault.path, fault.message, fault.suggestion) for fault in caught.value.faults]


def test_a_file_becomes_dimensions_with_one_for_each_stage(tmp_path: Path) -> None:
    space = read(SMALL, tmp_path)
    assert space.name == "small"
    assert space.dimensions["resolution"] == (28, (24, 32))
    assert [space.dimensions[f"width{stage}"] for stage in (1, 2, 3, 4)] == [(16, 32), (32,), (64,), (64, 128)]
    assert space.dimensions["stage_strides"] == ((1, 2, 2, 1), (2, 2, 1, 1))
    assert space.size == 2 * (2 * 2) * 2  # resolution, widths of stages 1 and 4, strides


def test_a_choice_from_each_list_is_a_design_of_the_family(tmp_path: Path) -> None:
    space = read(SMALL, tmp_path)
    choices = dict.fromkeys(space.dimensions, 0) | {"resolution": 1, "width1": 1, "stage_strides": 1}
    candidate = space.candidate(choices, classes=10, in_channels=1)
    assert (candidate.height, candidate.width) == (24, 32)
    assert candidate.config == AttendNeXtConfig(
        widths=(32, 32, 64, 64), stem="patch", stage_strides=(2, 2, 1, 1), classes=10, in_channels=1
    )


def test_what_is_not_listed_is_as_the_family_has_it() -> None:
    section, config = DimensionsSection(resolution=(28,)), AttendNeXtConfig()
    for field in fields(section):
        if field.name in ("widths", "depths"):
            assert getattr(section, field.name) == tuple((one,) for one in getattr(config, field.name))
        elif field.name != "resolution":
            assert getattr(section, field.name) == (getattr(config, field.name),)


def test_every_part_of_the_family_is_a_dimension() -> None:
    told_by_the_data = {"classes", "in_channels"}
    dimensions = {field.name for field in fields(DimensionsSection)}
    assert dimensions - {"resolution"} == {field.name for field in fields(AttendNeXtConfig)} - told_by_the_data


@pytest.mark.parametrize("name", CHOICES)
def test_the_words_of_a_space_are_those_of_the_family(name: str, tmp_path: Path) -> None:
    every = ", ".join(CHOICES[name])
    space = read(f"version: 1\ndimensions:\n  resolution: [28]\n  {name}: [{every}]\n", tmp_path)
    assert space.dimensions[name] == CHOICES[name]
    ((line, path, message, _),) = faults_of(
        f"version: 1\ndimensions:\n  resolution: [28]\n  {name}: [other]\n", tmp_path
    )
    assert (line, path, message) == (4, f"dimensions.{name}[0]", f"must be one of {every}")


def test_weights_and_budget_are_kept(tmp_path: Path) -> None:
    space = read(SMALL + "performance: {alpha: 3.0, gamma: 1.0}\nbudget: ['cortex-a76:2.7M', 'bytes:300k']\n", tmp_path)
    assert space.weights == Weights(alpha=3.0, beta=0.5, gamma=1.0)
    assert space.budget == ("cortex-a76:2.7M", "bytes:300k")


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    text = """\
version: 1
dimensions:
  resolution: [28, two]
  widht: [16]
  widths: [[16], [32], []]
  stem: [patch, patsh]
  columns: [2, 4, 2]
  depths: [[1], [1, 1], [1], [0]]
  gate: []
budgets: ["cortex-a76:2.7M"]
budget: ["cortex-a67:2.7M", "macs:1M", "macs:2M"]
performance: {alpha: -1}
"""
    found = faults_of(text, tmp_path)
    assert [(line, path) for line, path, _, _ in found] == [
        (3, "dimensions.resolution[1]"),
        (4, "dimensions.widht"),
        (5, "dimensions.widths"),
        (5, "dimensions.widths[2]"),
        (6, "dimensions.stem[1]"),
        (7, "dimensions.columns[2]"),
        (8, "dimensions.depths[3][0]"),
        (8, "dimensions.depths[1][1]"),
        (9, "dimensions.gate"),
        (10, "budgets"),
        (11, "budget[0]"),
        (11, "budget[2]"),
        (12, "performance.alpha"),
    ]
    meant = {path: suggestion for _, path, _, suggestion in found if suggestion}
    assert meant == {"dimensions.widht": "widths", "dimensions.stem[1]": "patch", "budgets": "budget"}
    told = {path: message for _, path, message, _ in found}
    assert told["dimensions.widths"].startswith("must be a list of 4, each a list, each an integer from 1 on")
    assert told["dimensions.resolution[1]"] == "must be an integer from 4 on or a list of 2, each an integer from 4 on"
    assert told["dimensions.gate"] == "must hold at least one choice"
    assert told["dimensions.columns[2]"] == "stands in the list already; write each choice once"
    assert "Did you mean cortex-a76?" in told["budget[0]"]
    assert told["budget[2]"] == "macs has two budgets. Give macs once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a space has version and dimensions"),
        ("version: 1\n", "is missing; it must be a mapping"),
        ("version: 2\ndimensions: {resolution: [28]}\n", "must be 1"),
        ("version: 1\ndimensions: {columns: [2]}\n", "is missing; it must be a list, each "),
        ("[1, 2]\n", "must be a mapping"),
        ("version: &v 1\ndimensions: {resolution: [28]}\n", "must not have an anchor (&v); write the value itself"),
        ("version: 1\ndimensions: {resolution: [28], resolution: [32]}\n", "stands here a second time"),
    ],
)
def test_a_file_that_is_no_space_is_refused(text: str, message: str, tmp_path: Path) -> None:
    ((_, _, told, _),) = faults_of(text, tmp_path)
    assert told.startswith(message)


def test_an_unknown_name_tells_the_shipped_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        read_space("fashion-mnits")
    message = "no such file and no shipped space of that name; shipped are fashion-mnist, imagenet"
    assert caught.value.faults == (Fault("fashion-mnits", 0, "", "", message, "fashion-mnist"),)


def test_a_space_goes_through_json_and_back(tmp_path: Path) -> None:
    space = read(SMALL + "performance: {alpha: 3.0}\nbudget: ['bytes:300k']\n", tmp_path)
    assert space_from(json.loads(json.dumps(space.as_dict()))) == space


@pytest.mark.parametrize("name", SPACES.files())
def test_a_shipped_space_opens_with_the_command_that_searches_it(name: str) -> None:
    text = SPACES.files()[name].read_text(encoding="utf-8")
    assert text.startswith(f"# attendc explore {name} ")
    assert read_space(name).name == name
