"""The greedy choice, worked out by hand where groups are few, and its rules where they are many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from attendc.compress.pruning.budget import Budget
from attendc.compress.pruning.cost import Cost, macs
from attendc.compress.pruning.groups import Block, ChannelGroup, Member
from attendc.compress.pruning.plan import PrunePlan
from attendc.compress.pruning.planner import (
    Candidates,
    Choice,
    block_loss_by_groups,
    choose,
    keep_best,
    lost_by_count,
)
from attendc.compress.pruning.shapes import LayerShape, Shapes


def group(name: str, size: int, columns: int = 1) -> ChannelGroup:
    """Return a group of one layer whose outputs nobody shares."""
    every = tuple(range(size))
    return ChannelGroup(name, size, columns, (Member(name, "out", every, every),))


def pick(
    groups: Sequence[ChannelGroup],
    limit: float | None,
    *,
    per_channel: Mapping[str, int] | None = None,
    scores: Mapping[str, Tensor] | None = None,
    may: Sequence[str] | None = None,
    blocks: Mapping[str, float] | None = None,
    counts: Mapping[str, int] | None = None,
    removed: Sequence[str] = (),
) -> Choice:
    """Choose among groups whose channels cost 1 each and are worth 1 each, unless told otherwise.

    `blocks` gives what each loses; `may` names the groups that are up for choice.
    """
    worth = {g.name: torch.ones(g.size) for g in groups} | dict(scores or {})
    shapes = {g.name: LayerShape("conv", g.size, 1, positions=(per_channel or {}).get(g.name, 1)) for g in groups}
    free = tuple(g for g in groups if (may is None or g.name in may) and g.name not in (counts or {}))
    candidates = Candidates(
        free,
        tuple(Block(name, ()) for name in blocks or {}),
        worth,
        {g.name: lost_by_count(g, worth[g.name]) for g in free},
        dict(blocks or {}),
    )
    budget = None if limit is None else Budget("macs", macs, limit, macs(shapes))
    return choose(shapes, groups, candidates, budget, counts=counts, removed=removed)


def moves(choice: Choice) -> list[object]:
    return [row["move"] for row in choice.curve]


# What a count of channels loses


def test_what_goes_first_counts_as_it_is_what_goes_last_ever_more() -> None:
    # 1, 2, 2 and 3 of 8 go in this order: 8 ln(8 / rest)
    lost = lost_by_count(group("a", 4), torch.tensor([2.0, 1, 3, 2]))
    assert lost == pytest.approx([0, 8 * math.log(8 / 7), 8 * math.log(8 / 5), 8 * math.log(8 / 3), 8])


def test_each_step_takes_the_least_important_channel_of_every_column() -> None:
    lost = lost_by_count(group("a", 4, columns=2), torch.tensor([1.0, 4, 3, 2]))
    assert lost == pytest.approx([0, 10 * math.log(10 / (10 - 1 - 2)), 10])


def test_a_group_of_no_importance_loses_nothing() -> None:
    assert lost_by_count(group("a", 4), torch.zeros(4)) == pytest.approx([0] * 5, abs=1e-9)


def test_a_block_loses_what_its_least_important_group_loses_down_to_a_channel() -> None:
    groups = [group("block.a", 4), group("block.b", 4), group("a", 4)]
    lost = {"block.a": [0, 1, 2, 3, 9], "block.b": [0, 1, 2, 2.5, 9], "a": [0, 0, 0, 0, 0]}
    assert block_loss_by_groups(groups, lost, "block") == 2.5
    assert block_loss_by_groups(groups, lost, "other") == math.inf


# Which channels stay


def test_the_most_important_channels_of_each_column_stay() -> None:
    scores = torch.tensor([9.0, 1, 8, 2, 1, 2, 3, 4])
    assert keep_best(group("a", 8, columns=2), scores, 4) == (0, 2, 6, 7)
    assert keep_best(group("a", 8), scores, 4) == (0, 2, 6, 7)
    assert keep_best(group("a", 8), scores, 3) == (0, 2, 7)
    assert keep_best(group("a", 8, columns=4), scores, 4) == (0, 2, 5, 7)


def test_of_equal_ones_the_first_stay() -> None:
    assert keep_best(group("a", 6, columns=2), torch.ones(6), 4) == (0, 1, 3, 4)


# By hand: groups of four. A step takes a channel or a pair of each column, the pair first


def test_what_loses_as_much_goes_where_it_saves_more() -> None:
    # Half of either loses 4 ln 2; in b it saves 600 of 1600, and that is the budget
    choice = pick([group("a", 4), group("b", 4)], 1000, per_channel={"a": 100, "b": 300})
    assert choice == Choice(
        PrunePlan({"b": (0, 1)}, sizes={"b": 4}),
        ({"move": "b: 2 of 4 channels", "cost": 1000 / 1600, "importance_lost": pytest.approx(4 * math.log(2))},),
        1000,
    )


def test_what_saves_more_stays_where_it_loses_too_much() -> None:
    # b is worth ten times as much. Lost per cost, b's pair: 40 ln 2 / 600 = 0.046
    # a's pair: 4 ln 2 / 200 = 0.014                     -> 1400 are left
    # a's third: 4 ln 2 / 100 = 0.028                    -> 1300
    # b's pair would leave 700, too low; one: 40 ln(4/3) / 300 -> 1000
    scores = {"b": torch.tensor([10.0, 10, 10, 10])}
    choice = pick([group("a", 4), group("b", 4)], 1000, per_channel={"a": 100, "b": 300}, scores=scores)
    assert moves(choice) == ["a: 2 of 4 channels", "a: 1 of 4 channels", "b: 3 of 4 channels"]
    assert [row["cost"] for row in choice.curve] == [1400 / 1600, 1300 / 1600, 1000 / 1600]
    expected = [4 * math.log(2), 4 * math.log(4), 4 * math.log(4) + 40 * math.log(4 / 3)]
    assert [row["importance_lost"] for row in choice.curve] == pytest.approx(expected)
    assert (choice.plan.kept, choice.cost, choice.note) == ({"a": (0,), "b": (0, 1, 2)}, 1000, "")


def test_a_layer_that_reads_from_two_groups_saves_less_the_more_of_the_other_is_gone() -> None:
    every = (0, 1, 2, 3)
    first = ChannelGroup("a", 4, 1, (Member("a", "out", every, every), Member("b", "in", every, every)))
    second = ChannelGroup("b", 4, 1, (Member("b", "out", every, every),))
    shapes = {"a": LayerShape("conv", 4, 1), "b": LayerShape("conv", 4, 4)}  # 4 + 16 = 20
    worth = {"a": torch.ones(4), "b": torch.ones(4)}
    lost = {n: lost_by_count(g, worth[n]) for n, g in (("a", first), ("b", second))}
    choice = choose(shapes, (first, second), Candidates((first, second), (), worth, lost, {}), Budget("", macs, 6, 20))
    # half of a saves 2 + 8, then half of b saves 4 of the 8 that are left: 2 + 4
    assert [row["cost"] for row in choice.curve] == [10 / 20, 6 / 20]


# Steps


def test_whole_tiles_go_first_and_smaller_steps_near_the_budget() -> None:
    # 44 go down to 32; 16, 24 and 28 would be more than 2 % below 31, and so would 30; 31 is the budget
    assert moves(pick([group("a", 44)], 31)) == ["a: 32 of 44 channels", "a: 31 of 44 channels"]
    assert moves(pick([group("a", 50)], 24)) == [
        "a: 48 of 50 channels",
        "a: 32 of 50 channels",
        "a: 24 of 50 channels",  # half a tile
    ]


def test_tiles_are_counted_in_each_column() -> None:
    assert moves(pick([group("a", 160, columns=4)], 64)) == ["a: 128 of 160 channels", "a: 64 of 160 channels"]
    # columns of 16 are halved, since no whole tile below them leaves any
    assert moves(pick([group("a", 64, columns=4)], 32)) == ["a: 32 of 64 channels"]


def test_of_each_group_12_percent_stay() -> None:
    choice = pick([group("a", 100)], 1)
    assert len(choice.plan.kept["a"]) == 12
    assert choice.cost == 12
    assert choice.note == "nothing more can go: 12 macs are left, 1 were asked for"


def test_a_channel_of_each_column_stays() -> None:
    assert pick([group("a", 16, columns=4)], 1).plan.kept == {"a": (0, 4, 8, 12)}


def test_a_budget_that_no_step_meets_within_2_percent_is_missed_from_below_and_told() -> None:
    choice = pick([group("a", 4)], 250, per_channel={"a": 100})  # 300 is too much, 200 is 20 % below
    assert (choice.cost, choice.note) == (200, "the smallest last step went 20.0% below the budget")


def test_within_2_percent_nothing_is_told() -> None:
    choice = pick([group("a", 100)], 50.9)
    assert (choice.cost, choice.note) == (50, "")  # 1.8 % below


def test_a_budget_that_is_met_takes_nothing() -> None:
    assert pick([group("a", 4)], 4) == Choice(PrunePlan(), (), 4)


# What may not go


def test_what_is_no_candidate_stays() -> None:
    choice = pick([group("a", 4), group("b", 4)], 4, may=["b"])
    assert choice.plan.kept == {"b": (0,)}
    assert choice.note == "nothing more can go: 5 macs are left, 4 were asked for"


def test_what_saves_nothing_is_not_taken() -> None:
    assert pick([group("a", 4), group("free", 4)], 2, per_channel={"free": 0}).plan.kept == {"a": (0, 1)}


# By hand


def test_counts_by_hand_hold_and_the_budget_takes_the_rest() -> None:
    scores = {"a": torch.tensor([1.0, 2, 3, 4])}
    choice = pick([group("a", 4), group("b", 4)], 5, counts={"a": 3}, scores=scores)
    assert choice.plan == PrunePlan({"a": (1, 2, 3), "b": (0, 1)}, sizes={"a": 4, "b": 4})
    assert moves(choice) == ["b: 2 of 4 channels"]


def test_without_a_budget_only_what_is_by_hand_goes() -> None:
    choice = pick([group("a", 4), group("block.b", 4)], None, counts={"a": 2}, removed=["block"])
    assert choice == Choice(PrunePlan({"a": (0, 1)}, ("block",), {"a": 4}))


# Blocks


def test_a_block_that_loses_little_goes_first() -> None:
    # 0.1 / 4, against 4 ln 2 / 2 for half of either group
    choice = pick([group("a", 4), group("block.b", 4)], 4, blocks={"block": 0.1})
    assert choice.plan == PrunePlan({}, ("block",))
    assert choice.curve == ({"move": "block: removed", "cost": 0.5, "importance_lost": 0.1},)


def test_a_block_that_loses_much_stays() -> None:
    assert pick([group("a", 4), group("block.b", 4)], 4, blocks={"block": 50.0}).plan.removed == ()


def test_a_block_that_would_go_too_far_below_the_budget_waits_for_what_comes_nearer() -> None:
    choice = pick([group("a", 4), group("block.b", 4)], 6, blocks={"block": 0.1})
    assert (choice.plan.removed, choice.cost) == ((), 6)


def test_what_a_block_has_lost_in_channels_is_not_lost_again() -> None:
    # The pair of b loses 4 ln 2 = 2.77 and leaves 6. Then the block loses 3 - 2.77 for 2, the pair of a 2.77 for 2.
    choice = pick([group("a", 4), group("block.b", 4)], 4, blocks={"block": 3.0}, scores={"a": torch.full((4,), 9.0)})
    assert moves(choice) == ["block: removed"]  # 3 / 4 = 0.75 at once is less than 2.77 / 2
    late = pick([group("a", 4), group("block.b", 4)], 4, blocks={"block": 6.0}, scores={"a": torch.full((4,), 90.0)})
    assert moves(late) == ["block.b: 2 of 4 channels", "block: removed"]
    assert late.curve[-1]["importance_lost"] == pytest.approx(6.0)
    assert late.plan == PrunePlan({}, ("block",))  # its channels went with it


def test_a_block_only_takes_what_is_inside_it() -> None:
    choice = pick([group("block1.a", 4), group("block.b", 4)], 4, blocks={"block": 0.0})
    assert (choice.plan.removed, choice.cost) == (("block",), 4)


# Many groups at once


@pytest.mark.parametrize("part", [0.9, 0.5, 0.3])
def test_the_curve_falls_step_by_step_to_the_cost_that_is_told(part: float) -> None:
    generator = torch.Generator().manual_seed(0)
    groups = [group(f"g{i}", 16 * (i + 1), columns=(1, 2, 4)[i % 3]) for i in range(6)]
    groups.append(group("block.g", 32))
    scores = {g.name: torch.rand(g.size, generator=generator) for g in groups}
    whole = sum(g.size for g in groups)
    choice = pick(groups, part * whole, scores=scores, blocks={"block": 1.0})
    costs = [1.0, *(row["cost"] for row in choice.curve)]
    lost = [0.0, *(row["importance_lost"] for row in choice.curve)]
    assert all(after < before for before, after in pairwise(costs))  # type: ignore[operator]
    assert lost == sorted(lost)  # type: ignore[type-var]
    assert choice.cost == pytest.approx(costs[-1] * whole)
    assert 0.98 * part * whole <= choice.cost <= part * whole
    for g in groups:
        for column in range(g.columns) if g.name in choice.plan.kept else ():
            width = g.size // g.columns
            kept = [c for c in choice.plan.kept[g.name] if c // width == column]
            gone = [c for c in range(column * width, (column + 1) * width) if c not in kept]
            assert len(kept) * g.columns == len(choice.plan.kept[g.name])
            assert scores[g.name][kept].min() >= scores[g.name][gone].max()


# A cost that falls by whole tiles: 16 outputs cost what 1 costs


def in_tiles(shapes: Shapes) -> float:
    """Return 160 for each 16 outputs that a layer has or begins."""
    return sum(160 * math.ceil(s.outputs / 16) for s in shapes.values())


def smooth(shapes: Shapes) -> float:
    """Return what the tiles cost, and 1 for each channel."""
    return in_tiles(shapes) + sum(s.outputs for s in shapes.values())


def pick_in_tiles(
    groups: Sequence[ChannelGroup],
    limit: float,
    scores: Mapping[str, Tensor] | None = None,
    *,
    cost: Cost = in_tiles,
    blocks: Mapping[str, float] | None = None,
) -> Choice:
    worth = {g.name: torch.ones(g.size) for g in groups} | dict(scores or {})
    shapes = {g.name: LayerShape("conv", g.size, 1) for g in groups}
    lost = {g.name: lost_by_count(g, worth[g.name]) for g in groups}
    candidates = Candidates(tuple(groups), tuple(Block(n, ()) for n in blocks or {}), worth, lost, dict(blocks or {}))
    budget = Budget("instructions on some core", cost, limit, cost(shapes), in_steps=True)
    return choose(shapes, groups, candidates, budget)


def test_a_tile_goes_as_a_whole_though_its_first_channels_save_nothing() -> None:
    # 40 channels are 3 tiles; 39 to 33 cost as much, 32 are 2 tiles
    choice = pick_in_tiles([group("a", 40)], 320)
    assert (moves(choice), choice.cost, choice.note) == (["a: 32 of 40 channels"], 320, "")


def test_what_saves_nothing_stays() -> None:
    # 8 channels are half a tile and cost as much whatever stays of them
    choice = pick_in_tiles([group("a", 8), group("b", 32)], 320)
    assert choice.plan == PrunePlan({"b": tuple(range(16))}, sizes={"b": 32})


def test_all_sizes_are_weighed_not_the_coarsest_alone() -> None:
    # In a layer of 33 a tile hangs on one channel, in one of 48 on 16. Two tiles of a lose more than two times one
    choice = pick_in_tiles([group("a", 48), group("b", 33)], 800)
    assert moves(choice) == ["b: 32 of 33 channels"]


def test_what_a_step_saves_beyond_the_budget_is_worth_nothing() -> None:
    # 96 channels at 6 tiles, one is too many: 80 lose 96 ln(96/80) = 17.5 for it, 64 would lose 38.9 for two
    assert moves(pick_in_tiles([group("a", 96)], 900)) == ["a: 80 of 96 channels"]
    # The block loses more per cost than the tile would if all 640 counted, and of 160 that are needed too
    choice = pick_in_tiles([group("a", 64), group("block.b", 64)], 1120, blocks={"block": 20.0})
    assert moves(choice) == ["a: 48 of 64 channels"]  # 64 ln(64/48) = 18.4 for 160


def test_what_the_budget_leaves_comes_back() -> None:
    # 350 each, at most 360: 16 of a lose 30 ln(30/16) = 18.9 for 174, 0.108; the block would lose 50 for 340, 0.147.
    # Then 526 - 360 = 166 are too many, for which the block goes. 360 - 176 are left over, of which all of a takes 174
    worth = {"block.b": torch.full((30,), 99.0)}
    choice = pick_in_tiles([group("a", 30), group("block.b", 30)], 360, worth, cost=smooth, blocks={"block": 50.0})
    assert moves(choice)[:2] == ["a: 16 of 30 channels", "block: removed"]
    assert (choice.plan, choice.cost) == (PrunePlan({}, ("block",)), 350)
    assert choice.curve[-1]["importance_lost"] == pytest.approx(50)


def test_it_comes_back_where_it_regains_most() -> None:
    # With c beside it, of which 16 lose 9 times as much as 16 of a: only one of the two can be whole again
    scores = {"block.b": torch.full((30,), 99.0), "c": torch.full((30,), 9.0)}
    groups = [group("a", 30), group("block.b", 30), group("c", 30)]
    choice = pick_in_tiles(groups, 540, scores, cost=smooth, blocks={"block": 50.0})
    assert (choice.plan, choice.cost) == (PrunePlan({"a": tuple(range(16))}, ("block",), {"a": 30}), 176 + 350)
