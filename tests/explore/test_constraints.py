"""Each constraint once kept and once broken, by the layers of real designs and by layers made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attendc.explore.budget import parse_budgets
from attendc.explore.candidate import Candidate
from attendc.explore.constraints import BUILDABLE, PRACTICES, judge, limits
from attendc.explore.cost import cost_of
from attendc.models.attendnext import PRESETS, AttendNeXtConfig
from attendc.models.layout import Layer, layout

KEPT = AttendNeXtConfig(
    widths=(32, 64, 64, 96),
    depths=(2, 2, 2, 1),
    columns=2,
    stem="patch",
    stem_stride=2,
    gate="sigmoid",
    classes=10,
    in_channels=1,
)
"""Keeps every practice: columns of 16, 32, 32 and 48 channels."""
PRACTICE = {one.name: one for one in PRACTICES}
STRIDED, ALIASED, ATTENTION, MIXED, FOUR, TILE = PRACTICE


def verdict(**changes: Any) -> dict[str, str]:
    """Return name -> why it is broken, of KEPT with these changes at 32x32; what holds is left out."""
    candidate = Candidate(replace(KEPT, **changes), 32, 32)
    return {name: why for name, why in judge(candidate, PRACTICES, ()).constraints.items() if why}


def broken_by(name: str, *layers: Layer) -> str:
    """Return why layers made by hand, behind those of a sound design, break one practice."""
    candidate = Candidate(KEPT, 32, 32)
    return PRACTICE[name].broken(candidate, (*layout(KEPT, 32, 32), *layers), cost_of(candidate, ()))


def conv(part: str, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> Layer:
    return Layer("conv", part, inputs, outputs, groups, (kernel, kernel), (stride, stride), 8, 8)


def test_a_sound_design_keeps_all() -> None:
    assert verdict() == {}
    found = judge(Candidate(KEPT, 32, 32), PRACTICES, ("cortex-a76",))
    assert found.holds
    assert found.cost == cost_of(Candidate(KEPT, 32, 32), ("cortex-a76",))
    assert list(found.constraints) == [BUILDABLE, STRIDED, ALIASED, ATTENTION, MIXED, FOUR, TILE]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"downsample": "strided"}, {STRIDED, ALIASED}),
        ({"attention": "every"}, {ATTENTION, MIXED}),  # the 1x1 of V joins the columns, now in each block
        ({"attention": "none"}, {ATTENTION}),
        ({"mix": "block"}, {MIXED}),
        ({"columns": 1}, {MIXED}),
        ({"columns": 4}, {TILE}),  # 32 / 4 = 8, 96 / 4 = 24
        ({"widths": (30, 64, 64, 96)}, {FOUR, TILE}),
        ({"widths": (40, 64, 64, 96)}, {TILE}),  # 40 / 2 = 20
        ({"stem_width": 24}, {TILE}),
        ({"gate": "softmax", "activation": "relu", "expansion": 1, "stage_strides": (2, 1, 2, 1)}, set()),
        ({"stem": "conv", "stem_pool": True}, set()),  # the stem may stride
    ],
)
def test_a_choice_breaks_its_practices_and_no_other(changes: dict[str, Any], names: set[str]) -> None:
    assert verdict(**changes).keys() == names


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        (
            {"downsample": "strided"},
            STRIDED,
            "stage2.0.features: 1x1 convolution 32->64, stride 2, groups 1, skips pixels, and 2 more",
        ),
        (
            {"downsample": "strided"},  # both branches of stages 2, 3 and 4
            ALIASED,
            "stage2.0.attention: 3x3 convolution 32->64, stride 2, groups 2, where an average pool belongs, and 5 more",
        ),
        ({"attention": "every"}, ATTENTION, "stage1.1 has attention; stage2.1 has attention; stage3.1 has attention"),
        (
            {"attention": "none"},
            ATTENTION,
            "stage1.0 has none; stage2.0 has none; stage3.0 has none; stage4.0 has none",
        ),
        (
            {"mix": "block"},  # the second of each attention branch, both of each block: stages 1 and 2
            MIXED,
            "stage1.0.attention: 3x3 convolution 32->32, stride 1, groups 1, mixes columns, and 5 more",
        ),
        ({"widths": (30, 64, 64, 96)}, FOUR, "stage1.0.attention has 30, and 2 more"),
        ({"columns": 4}, TILE, "stage1.0.attention has 8 a column, and 2 more"),
    ],
)
def test_why_is_told_with_the_layer_and_its_values(changes: dict[str, Any], name: str, why: str) -> None:
    assert verdict(**changes)[name] == why


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (conv("stage3.1", 128, 64, kernel=1, stride=2), STRIDED),
        (conv("stage3.1", 64, 64, stride=2, groups=2), ALIASED),
        (Layer("avg_pool", "stage2.0.features", 32, 32, 1, (1, 1), (2, 2), 8, 8), ALIASED),  # sees a pixel of four
        (Layer("gate", "stage2.1.attention", 64, 64, 1, (1, 1), (1, 1), 8, 8, "sigmoid"), ATTENTION),
        (conv("stage2.1", 64, 64, kernel=1), MIXED),
        (conv("stage1.0.attention", 32, 32), MIXED),
        (conv("stage4.0", 96, 98, kernel=1), FOUR),
        (conv("stage4.0", 96, 96, groups=4), TILE),
    ],
)
def test_a_layer_breaks_a_practice_wherever_it_comes_from(layer: Layer, name: str) -> None:
    """The config says nothing of it: what is looked at are the layers."""
    assert broken_by(name) == ""
    assert layer.part in broken_by(name, layer) or broken_by(name, layer) == "stage2.1 has attention"


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (conv("stem", 1, 32, kernel=1, stride=1), STRIDED),
        (conv("stem", 32, 32, stride=2), ALIASED),
        (Layer("avg_pool", "stage2.0.features", 32, 32, 1, (3, 3), (2, 2), 8, 8), ALIASED),
        (conv("stage3.1", 64, 64, kernel=1), MIXED),  # bottlenecks have 1x1 convolutions
        (conv("stage2.0.features", 32, 64, kernel=1), MIXED),  # the stage's border
    ],
)
def test_a_layer_that_belongs_there_breaks_nothing(layer: Layer, name: str) -> None:
    assert broken_by(name, layer) == ""


def test_a_limit_tells_the_value_and_what_is_allowed() -> None:
    candidate = Candidate(KEPT, 32, 32)
    cost = cost_of(candidate, ("cortex-a76", "cortex-a72"))
    over = parse_budgets(("params:1k", f"cortex-a76:{int(cost.instructions['cortex-a76']) + 1}", "cortex-a72:10k"))
    found = judge(candidate, limits(over), over.cores)
    assert found.constraints == {
        BUILDABLE: "",
        "params": f"{cost.params:,}, 1,000 allowed",
        "instructions on cortex-a76": "",
        "instructions on cortex-a72": f"{cost.instructions['cortex-a72']:,.0f}, 10,000 allowed",
    }
    assert not found.holds


@pytest.mark.parametrize("name", ["params", "macs", "bytes", "memory"])
def test_a_limit_holds_exactly_up_to_its_value(name: str) -> None:
    candidate = Candidate(KEPT, 32, 32)
    value = getattr(cost_of(candidate, ()), name)
    assert judge(candidate, limits(parse_budgets((f"{name}:{value}",))), ()).holds
    assert not judge(candidate, limits(parse_budgets((f"{name}:{value - 1}",))), ()).holds


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"columns": 3}, "32 channels of stem_width do not divide into 3 columns"),
        ({"stem_stride": 4, "stage_strides": (4, 4, 2, 2)}, "nothing is left of "),
    ],
)
def test_what_cannot_be_built_is_refused_for_that_alone(changes: dict[str, Any], why: str) -> None:
    found = judge(Candidate(replace(KEPT, **changes), 32, 32), PRACTICES, ())
    assert list(found.constraints) == [BUILDABLE]
    assert found.constraints[BUILDABLE].startswith(why)
    assert found.cost is None
    assert not found.holds


def test_the_published_member_keeps_the_practices_of_the_family_but_not_the_tile() -> None:
    found = judge(Candidate(PRESETS["attendnext_xa"], 224, 224), PRACTICES, ())
    assert {name for name, why in found.constraints.items() if why} == {TILE}  # 40 / 4 = 10
    assert judge(Candidate(PRESETS["attendnext_arm"], 224, 224), PRACTICES, ()).holds


def test_every_practice_has_a_source_that_is_there() -> None:
    root = Path(__file__).parents[2]
    for practice in PRACTICES:
        assert "arXiv 2208.06980" in practice.source or (root / practice.source).is_file()
