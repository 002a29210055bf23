"""What may go: not what is guarded, not what is decided by hand; and what each candidate would lose."""

from __future__ import annotations

import math

import pytest
import torch
from nets import mixed, tiny
from torch import Tensor, nn

from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.groups import Block, ChannelGroup, Member
from attendc.compress.pruning.select import candidates_of, counts_by_hand, default_guard, ratios_by_hand
from attendc.compress.pruning.sensitivity import Sensitivity
from attendc.errors import UsageError


@pytest.fixture(scope="module")
def found() -> Dependencies:
    return find_dependencies(tiny().eval(), torch.zeros(1, 1, 16, 16))


@pytest.fixture(scope="module")
def scores(found: Dependencies) -> dict[str, Tensor]:
    return {g.name: torch.ones(g.size) for g in found.groups}


INNER = "stages.1.1.stack.0.0"


# Guards


def test_of_an_attendnext_stem_and_first_stage_stay() -> None:
    assert default_guard(tiny()) == ("stem", "stages.0")


def test_of_other_networks_the_first_convolution_stays() -> None:
    assert default_guard(mixed()) == ("stem.0",)
    assert default_guard(nn.Linear(2, 2)) == ()


def test_no_group_of_which_a_guarded_layer_gives_channels_may_go(
    found: Dependencies, scores: dict[str, Tensor]
) -> None:
    may = candidates_of(found, scores, guard=("stem", "stages.0"))
    assert {g.name for g in found.groups} - {g.name for g in may.groups} == {
        "stem.0.0",
        "stem.1.0",
        "stages.0.0.attention.1.0",
        "stages.0.0.features.1.0",
    }
    # One member is enough: the end of the residual block gives channels to the stream that stage 2 opens.
    end_of_block = candidates_of(found, scores, guard=("stages.1.1.stack.1",))
    assert "stages.1.0.features.1.0" not in {g.name for g in end_of_block.groups}
    assert INNER in {g.name for g in end_of_block.groups}


def test_a_reader_that_is_guarded_may_lose_inputs(found: Dependencies, scores: dict[str, Tensor]) -> None:
    may = candidates_of(found, scores, guard=("head",))
    assert len(may.groups) == len(found.groups)


def test_a_name_guards_what_is_inside_not_what_begins_like_it(found: Dependencies, scores: dict[str, Tensor]) -> None:
    assert [b.name for b in candidates_of(found, scores, guard=("stages.1",)).blocks] == ["stages.2.1"]
    inside = candidates_of(found, scores, guard=("stages.1.1.stack.0.0",))
    assert INNER not in {g.name for g in inside.groups}
    eleven = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), *[nn.ReLU()] * 8, nn.Conv2d(4, 4, 1), nn.Flatten(1))
    of_eleven = find_dependencies(nn.Sequential(*eleven, nn.Linear(4, 2)), torch.zeros(1, 1, 1, 1))
    ones = {g.name: torch.ones(g.size) for g in of_eleven.groups}
    assert [g.name for g in candidates_of(of_eleven, ones, guard=("1",)).groups] == ["0", "10"]
    with pytest.raises(UsageError, match="the network has no such layer"):
        candidates_of(found, scores, guard=("stages.1.1.st",))


def test_guarding_nothing_leaves_everything_to_choose(found: Dependencies, scores: dict[str, Tensor]) -> None:
    may = candidates_of(found, scores, guard=())
    assert (may.groups, [b.name for b in may.blocks]) == (found.groups, ["stages.1.1", "stages.2.1"])


def test_a_block_around_a_guarded_layer_stays(found: Dependencies, scores: dict[str, Tensor]) -> None:
    assert [b.name for b in candidates_of(found, scores, guard=("stages.1.1.stack",)).blocks] == ["stages.2.1"]


# Blocks in blocks


def test_the_groups_of_a_gate_do_not_say_what_the_block_around_it_loses() -> None:
    def inside(name: str, size: int) -> ChannelGroup:
        channels = tuple(range(size))
        return ChannelGroup(name, size, 1, (Member(name, "out", channels, channels),))

    groups = (inside("block.expand", 8), inside("block.gate.reduce", 2))
    blocks = (Block("block", ("block.expand", "block.gate.reduce")), Block("block.gate", ("block.gate.reduce",)))
    scores = {g.name: torch.ones(g.size) for g in groups}
    may = candidates_of(Dependencies(nn.Module(), groups, blocks, {}), scores, guard=())
    # Down to one channel: 8 ln(8 / 1) of the expansion, 2 ln(2 / 1) of the gate's reduction.
    assert may.block_lost == pytest.approx({"block": 8 * math.log(8), "block.gate": 2 * math.log(2)})


# What is decided already


def test_what_is_decided_by_hand_is_not_chosen_again(found: Dependencies, scores: dict[str, Tensor]) -> None:
    may = candidates_of(found, scores, guard=(), spared=("stem.0.0", "stages.2.1"))
    assert {g.name for g in found.groups} - {g.name for g in may.groups} == {"stem.0.0"}
    assert [b.name for b in may.blocks] == ["stages.1.1"]


def test_nothing_is_known_of_a_block_whose_groups_are_not_up_for_choice(
    found: Dependencies, scores: dict[str, Tensor]
) -> None:
    assert [b.name for b in candidates_of(found, scores, guard=(), spared=(INNER,)).blocks] == ["stages.2.1"]


# What would be lost


def test_by_importance_a_block_loses_what_its_least_important_group_loses(found: Dependencies) -> None:
    scores = {g.name: torch.full((g.size,), 5.0) for g in found.groups}
    scores["stages.2.1.stack.1.0"] = torch.full((8,), 2.0)
    may = candidates_of(found, scores, guard=())
    # 8 channels of 2 in two columns, down to one a column: 16 ln(16 / 4)
    assert may.block_lost["stages.2.1"] == pytest.approx(16 * math.log(4))
    assert may.lost["stages.2.1.stack.1.0"][3] == may.block_lost["stages.2.1"]
    assert may.block_lost["stages.1.1"] == pytest.approx(40 * math.log(4))


def test_measured_losses_take_the_place_of_importance(found: Dependencies, scores: dict[str, Tensor]) -> None:
    rows = [Sensitivity(g.name, "channels", 0.5, 0.9, 0.75) for g in found.groups]
    rows += [Sensitivity(b.name, "block", 0.0, 0.9, 0.625) for b in found.blocks]
    may = candidates_of(found, scores, guard=("stages.1",), measured=(rows, 0.5))
    assert may.block_lost == {"stages.2.1": pytest.approx(0.125)}
    # Two columns of four: half of each gone costs 0.25, a quarter half of that
    assert may.lost["stages.2.1.stack.1.0"][:3] == pytest.approx([0, 0.125, 0.25])
    assert set(may.lost) == {g.name for g in may.groups}


# By hand


def test_a_layer_stands_for_the_group_that_its_outputs_belong_to(found: Dependencies) -> None:
    ratios, removed = ratios_by_hand(found, {"stages.1.1.stack.1.0": 0.5, "stages.0.0.attention.1.1": 0.25})
    assert ratios == {"stages.1.0.features.1.0": 0.5, "stages.0.0.attention.1.0": 0.25}
    assert removed == ()


def test_zero_removes_a_block(found: Dependencies) -> None:
    assert ratios_by_hand(found, {"stages.2.1": 0, INNER: 0.5}) == ({INNER: 0.5}, ("stages.2.1",))


@pytest.mark.parametrize(
    ("name", "part", "told"),
    [
        (INNER, 0, f"--keep {INNER}=0: a part is between 0 and 1"),
        (INNER, 1, "=1: a part"),
        (INNER, -0.5, "=-0.5: a part"),
        (INNER, float("nan"), "=nan: a part"),
        ("stages.2.1", 0.5, "stages.2.1 cannot be pruned: it is a block, which only goes as a whole"),
        ("head", 0.5, "head cannot be pruned: its outputs are the network's"),
        ("stages.9", 0.5, "stages.9 cannot be pruned: the network has no such layer"),
    ],
)
def test_what_cannot_be_kept_so_is_refused(found: Dependencies, name: str, part: float, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ratios_by_hand(found, {name: part})


def test_two_layers_of_one_group_cannot_be_kept_differently(found: Dependencies) -> None:
    with pytest.raises(UsageError, match=r"it goes with stages\.1\.0\.features\.1\.0, of which 0\.25 stay"):
        ratios_by_hand(found, {"stages.1.0.features.1.0": 0.25, "stages.1.1.stack.1.0": 0.5})
    same = {"stages.1.0.features.1.0": 0.5, "stages.1.1.stack.1.0": 0.5}
    assert ratios_by_hand(found, same)[0] == {"stages.1.0.features.1.0": 0.5}


@pytest.mark.parametrize(
    ("size", "columns", "ratio", "expected"),
    [
        (16, 1, 0.5, 8),
        (16, 1, 0.53, 8),  # 8.48
        (16, 1, 0.54, 9),  # 8.64
        (16, 4, 0.6, 8),  # 2.4 of 4 in each column are 2
        (16, 4, 0.01, 4),  # one of each stays
    ],
)
def test_whole_channels_stay_as_many_in_each_column(size: int, columns: int, ratio: float, expected: int) -> None:
    group = ChannelGroup("a", size, columns, ())
    assert counts_by_hand([group, ChannelGroup("b", 8, 1, ())], {"a": ratio}) == {"a": expected}
