"""A plan of ablations: one part is taken back at a time, and what that costs and breaks is told."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest

from attendc.explore.ablations import Ablation, plan
from attendc.explore.budget import parse_budgets
from attendc.explore.candidate import Candidate, candidate_from
from attendc.explore.constraints import PRACTICES, judge, limits
from attendc.explore.cost import cost_of
from attendc.explore.space import Space
from attendc.models.attendnext import PRESETS, AttendNeXt
from attendc.models.layout import layout

CORE = "cortex-a76"
SPACE = Space(
    "here",
    {
        "resolution": (28, 24, 32, (48, 48)),
        "stem_width": (64, 16, 32),
        "width1": (16, 40, 64, 80),
        "width2": (64, 96),
        "width3": (48, 32, 64),
        "depth1": (1, 2, 3),
        "depth2": (2, 3),
        "depth3": (1, 2),
        "gate": ("sigmoid", "softmax"),
    },
)
SIZES = {"attendnext_nano": 32, "attendnext_nano_arm": 32}
NANO_ARM = Candidate(PRESETS["attendnext_nano_arm"], 32, 32)


def planned(candidate: Candidate, *budgets: str) -> dict[str, Ablation]:
    """Return the ablations of a design by their part."""
    constraints = (*PRACTICES, *limits(parse_budgets(budgets)))
    return {one.part: one for one in plan(candidate, SPACE, constraints, [CORE])}


def preset(name: str) -> Candidate:
    side = SIZES.get(name, 224)
    return Candidate(PRESETS[name], side, side)


def flat(candidate: Candidate) -> dict[str, Any]:
    """Return every part of a design by the name of its dimension."""
    parts = candidate.as_dict()
    for many, one in (("widths", "width"), ("depths", "depth")):
        parts |= {f"{one}{stage}": value for stage, value in enumerate(parts.pop(many), 1)}
    parts["resolution"] = parts.pop("input_size")
    return parts


@pytest.mark.parametrize("name", PRESETS)
def test_every_ablation_differs_in_one_part_and_can_be_built(name: str) -> None:
    before = flat(preset(name))
    ablations = planned(preset(name))
    assert {"downsample", "attention", "mix"} - {*ablations} <= (
        {"mix"} if PRESETS[name].depths[:2] == (1, 1) else set()
    )
    for part, ablation in ablations.items():
        after = flat(ablation.candidate)
        changed = {key for key in before if before[key] != after[key]}
        assert changed - ({"stem_stride", "stem_pool"} if part == "stem" else set()) == {part}
        assert layout(ablation.candidate.config, ablation.candidate.height, ablation.candidate.width)
        assert ablation.cost == cost_of(ablation.candidate, [CORE])
        assert AttendNeXt(ablation.candidate.config)


@pytest.mark.parametrize(
    ("part", "practices"),
    [
        ("downsample", {"no strided pointwise convolution", "anti-aliased downsampling"}),
        ("attention", {"attention at stage entry only"}),
        ("mix", {"columns mix only at stage borders"}),
        ("stem", {"16 channels per column"}),  # 32 channels in 4 columns; patches have none
        ("gate", set()),
    ],
)
def test_a_practice_that_is_given_up_is_named(part: str, practices: set[str]) -> None:
    assert set(planned(NANO_ARM)[part].breaks) == practices


def test_a_limit_that_is_passed_is_named() -> None:
    # Stage 3 and 4 of width 64 have 1x1 convolutions to and from 128 channels; with expansion 1 they are half as many.
    small = replace(NANO_ARM, config=replace(NANO_ARM.config, expansion=1))
    limit = cost_of(small, [CORE]).params
    assert planned(small, f"params:{limit}")["expansion"].breaks == ("params",)
    assert planned(small, f"params:{2 * limit}")["expansion"].breaks == ()


def test_what_is_plain_already_has_no_ablation() -> None:
    plain = Candidate(PRESETS["attendnext"], 224, 224)
    assert {"stem", "gate", "activation", "expansion", "columns", "stage_strides"} & {*planned(plain)} == set()
    other = replace(plain, config=replace(plain.config, gate="sigmoid", activation="relu", columns=2, expansion=1))
    told = {part: (one.before, one.after) for part, one in planned(other).items()}
    assert (told["gate"], told["activation"]) == (("sigmoid", "softmax"), ("relu", "silu"))
    assert (told["columns"], told["expansion"]) == ((2, 4), (1, 2))


@pytest.mark.parametrize(
    ("stride", "expected"), [(1, (1, False)), (2, (2, False)), (3, (3, False)), (4, (2, True)), (8, (4, True))]
)
def test_a_stem_of_convolutions_condenses_as_much_as_the_patches_do(stride: int, expected: tuple[int, bool]) -> None:
    patches = Candidate(replace(NANO_ARM.config, stem_stride=stride), 96, 96)
    taken = planned(patches)["stem"].candidate
    assert (taken.config.stem, taken.config.stem_stride, taken.config.stem_pool) == ("conv", *expected)
    heights = [
        next(one.height for one in reversed(layout(c.config, 96, 96)) if one.part == "stem") for c in (patches, taken)
    ]
    assert heights == [96 // stride, 96 // stride]


def test_a_gate_of_a_design_without_attention_makes_no_difference() -> None:
    without = replace(NANO_ARM, config=replace(NANO_ARM.config, attention="none"))
    assert not {"gate", "attention"} & {*planned(without)}


def test_columns_that_do_not_divide_a_width_cannot_be_taken_back() -> None:
    odd = replace(NANO_ARM, config=replace(NANO_ARM.config, columns=2, widths=(64, 64, 64, 66)))
    assert "columns" not in planned(odd)
    assert "columns" in planned(replace(odd, config=replace(odd.config, widths=(64, 64, 64, 64))))


def test_widths_depths_and_resolution_go_one_choice_down() -> None:
    # The design has 64 channels in every stage, 2 2 2 1 blocks, 32 of the stem, 32x32 pixels; SPACE has no stage 4.
    told = {part: (one.before, one.after) for part, one in planned(NANO_ARM).items()}
    assert {part: told[part] for part in told if part[:5] in ("width", "depth")} == {
        "width1": (64, 40),
        "width3": (64, 48),
        "depth1": (2, 1),
        "depth3": (2, 1),
    }
    assert told["resolution"] == ((32, 32), (28, 28))
    assert (planned(NANO_ARM)["resolution"].candidate.height, told["stem_width"]) == (28, (32, 16))


def test_as_json_it_holds_the_design_its_cost_and_no_accuracy_yet() -> None:
    told = json.loads(json.dumps(planned(NANO_ARM)["downsample"].as_dict()))
    cost = dataclasses.asdict(planned(NANO_ARM)["downsample"].cost)
    assert (told["part"], told["from"], told["to"], told["accuracy"]) == ("downsample", "pool", "strided", None)
    assert candidate_from(told["config"]).config.downsample == "strided"
    assert {name: told[name] for name in cost} == cost
    assert planned(NANO_ARM)["resolution"].as_dict()["from"] == [32, 32]


def test_the_design_itself_keeps_every_practice_that_its_ablations_break() -> None:
    assert judge(NANO_ARM, PRACTICES, [CORE]).holds
