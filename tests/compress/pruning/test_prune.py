"""The step as a whole: rounds, plans that can be used again, and options that contradict each other."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from nets import PREPROCESS, SMALL, mixed, settle, some, tiny
from torch import Tensor, nn

from attendc.compress.pruning.apply import apply_prune_plan
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.plan import PrunePlan, plan_from_json, plan_to_json
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, plan_pruning, prune_network
from attendc.compress.pruning.select import Rows
from attendc.compress.pruning.sensitivity import Probe, judge, measure_pruning
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.errors import DataError, UsageError
from attendc.metrics import count_macs, count_params
from attendc.models.surgery import operate
from attendc.train import TrainOptions

SHAPE = (1, 16, 16)
TASK = PruneTask(torch.zeros(1, *SHAPE), PREPROCESS)
HALF = PruneOptions("macs", "0.5", importance="l2")

SMALL_TASK = PruneTask(torch.zeros(1, 1, 8, 8), SMALL)
INNER = PruneOptions("macs", "0.8", importance="l2")
"""Of the mixed net, `grouped` (8 channels in two columns) may go; `gate.branch` (4) goes with the guarded `stem.0`."""


def image(side: int = 16) -> Tensor:
    return torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return settle(tiny(widths=[4, 8, 8, 16], depths=[1, 2, 1, 2]))


@pytest.fixture(scope="module")
def pruned(net: nn.Module) -> Pruned:
    """Return it with half its MACs, in three rounds, without data."""
    return prune_network(net, TASK, dataclasses.replace(HALF, steps=3), Context())


# Rounds


def test_each_round_goes_an_equal_factor_further(net: nn.Module, pruned: Pruned) -> None:
    whole = count_macs(net, SHAPE)
    limits = [row["budget"]["limit"] for row in pruned.rounds]
    assert limits == pytest.approx([whole * 0.5 ** (1 / 3), whole * 0.5 ** (2 / 3), whole * 0.5])
    assert [row["budget"]["whole"] for row in pruned.rounds] == [whole] * 3
    assert all(0.98 * limit <= row["cost"] <= limit for limit, row in zip(limits, pruned.rounds, strict=True))


def test_the_last_round_reaches_what_was_asked_for(net: nn.Module, pruned: Pruned) -> None:
    assert 0.49 * count_macs(net, SHAPE) < count_macs(pruned.model, SHAPE) <= 0.5 * count_macs(net, SHAPE)
    assert pruned.rounds[-1]["cost"] == count_macs(pruned.model, SHAPE)


def test_a_row_tells_each_step(net: nn.Module, pruned: Pruned) -> None:
    assert [row["step"] for row in pruned.steps] == ["as it was", "pruned", "pruned", "pruned"]
    assert (pruned.steps[0]["macs"], pruned.steps[0]["params"]) == (count_macs(net, SHAPE), count_params(net))
    assert pruned.steps[-1]["params"] == count_params(pruned.model)


def test_the_whole_plan_at_once_gives_the_same_network(net: nn.Module, pruned: Pruned) -> None:
    found = find_dependencies(net, TASK.sample)
    plan = plan_from_json(plan_to_json(pruned.plan))
    at_once, surgery = apply_prune_plan(net, plan, found, TASK.sample)
    assert repr(at_once) == repr(pruned.model)
    assert (set(surgery.removed), surgery.layers) == (set(pruned.surgery.removed), pruned.surgery.layers)
    with torch.no_grad():
        assert torch.equal(at_once(image()), pruned.model(image()))


def test_the_surgery_builds_the_same_network(pruned: Pruned) -> None:
    fresh = tiny(seed=9, widths=[4, 8, 8, 16], depths=[1, 2, 1, 2])
    operate(fresh, pruned.surgery)
    fresh.load_state_dict(pruned.model.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh.eval()(image()), pruned.model(image()))


def test_columns_stay_equal(pruned: Pruned) -> None:
    for conv in (m for m in pruned.model.modules() if isinstance(m, nn.Conv2d)):
        assert conv.in_channels % conv.groups == conv.out_channels % conv.groups == 0
        assert conv.weight.shape[1] == conv.in_channels // conv.groups


def test_the_network_itself_stays() -> None:
    net = mixed()
    before = copy.deepcopy(net.state_dict())
    prune_network(net, SMALL_TASK, INNER, Context())
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())


def test_what_could_not_be_pruned_is_told(pruned: Pruned) -> None:
    assert pruned.refused == {"head": "its outputs are the network's"}


def test_a_plan_holds_where_the_layer_that_names_a_group_goes_with_its_block() -> None:
    """The streams of the mixed net are named by the gate's convolution, which the second round does not see."""
    net, task = mixed(), SMALL_TASK
    options = PruneOptions("macs", "0.6", importance="l2", guard=(), keep={"gate": 0, "grouped": 0.25}, steps=2)
    pruned = prune_network(net, task, options, Context())
    found = find_dependencies(net, task.sample)
    at_once, surgery = apply_prune_plan(net, pruned.plan, found, task.sample)
    assert pruned.plan.removed == ("gate",)
    assert {n: len(kept) for n, kept in pruned.plan.kept.items()} == {"gate.branch": 2, "grouped": 2}
    assert repr(at_once) == repr(pruned.model)
    assert surgery.layers == pruned.surgery.layers
    with torch.no_grad():
        assert torch.equal(at_once(image(8)), pruned.model(image(8)))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_rounds_get_as_far_as_one_and_keep_columns_of_one_channel(steps: int) -> None:
    """Convolutions are left with one output, or one channel, a column; the other sides of the former can still go."""
    net = settle(tiny(widths=[8] * 4, columns=4, stem_width=8))
    options = PruneOptions("macs", "0.27", importance="l2", guard=(), steps=steps)
    pruned = prune_network(net, TASK, options, Context())
    assert count_macs(pruned.model, SHAPE) <= 0.27 * count_macs(net, SHAPE)
    at_once, _ = apply_prune_plan(net, pruned.plan, find_dependencies(net, TASK.sample), TASK.sample)
    assert repr(at_once) == repr(pruned.model)


# By hand


@pytest.mark.slow
def test_parts_by_hand_are_reached_in_equal_factors_and_the_budget_leaves_them_alone(net: nn.Module) -> None:
    inner = "stages.3.1.stack.0.0"  # 16 channels in two columns
    options = dataclasses.replace(HALF, amount="0.8", keep={inner: 0.25, "stages.1.1": 0}, steps=2)
    pruned = prune_network(net, TASK, options, Context())
    assert len(pruned.plan.kept[inner]) == 4
    assert pruned.plan.removed == ("stages.1.1",)
    first = prune_network(net, TASK, dataclasses.replace(options, keep={inner: 0.5, "stages.1.1": 0}), Context())
    assert len(first.plan.kept[inner]) == 8


def test_only_by_hand_needs_no_budget() -> None:
    options = PruneOptions("", "", importance="l2", keep={"stem.0": 0.5})  # although it is guarded
    pruned = prune_network(mixed(), SMALL_TASK, options, Context())
    assert {n: len(kept) for n, kept in pruned.plan.kept.items()} == {"gate.branch": 2}
    assert (pruned.rounds[0]["budget"], pruned.rounds[0]["cost"]) == (None, None)


def test_a_given_plan_is_done_in_one_round() -> None:
    net, plan = mixed(), PrunePlan({"grouped": (0, 5)}, ("gate",))
    pruned = prune_network(net, SMALL_TASK, dataclasses.replace(INNER, steps=3), Context(), given=plan)
    expected, surgery = apply_prune_plan(net, plan, find_dependencies(net, SMALL_TASK.sample), SMALL_TASK.sample)
    assert (pruned.plan, pruned.surgery) == (plan, surgery)
    assert repr(pruned.model) == repr(expected)
    assert [(row["budget"], row["curve"]) for row in pruned.rounds] == [(None, [])]


# Only a plan


def test_a_plan_is_made_for_the_whole_budget_at_once() -> None:
    net = mixed()
    choice, found = plan_pruning(net, SMALL_TASK, dataclasses.replace(INNER, steps=3), Context())
    once = prune_network(net, SMALL_TASK, INNER, Context())
    assert choice.plan == once.plan
    assert choice.cost == once.rounds[0]["cost"] == count_macs(once.model, (1, 8, 8))
    assert [g.name for g in found.groups] == ["gate.branch", "grouped"]


def test_a_budget_that_is_missed_from_below_is_a_warning() -> None:
    # 4 x 256 + 10 x 4 = 1064 MACs with four hidden numbers, 798 with three, 532 with two; 0.7 of it is 744.8
    net, context = nn.Sequential(nn.Flatten(1), nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, 10)), Context()
    choice, _ = plan_pruning(net, TASK, dataclasses.replace(HALF, amount="0.7", guard=()), context)
    assert context.warnings == [choice.note] == ["the smallest last step went 28.6% below the budget"]


# With data


@pytest.fixture(scope="module")
def some_data(mini: Dataset) -> Dataset:
    return Dataset("some", some(mini.train, 4), some(mini.test, 2), mini.labels)


def test_with_data_batch_norms_are_measured_and_training_follows(some_data: Dataset) -> None:
    recover = TrainOptions(epochs=1, batch_size=16, distill=0.9)
    task = dataclasses.replace(SMALL_TASK, dataset=some_data, judged=some_data.test)
    options = dataclasses.replace(INNER, steps=2, importance="taylor", images=16, recover=recover)
    pruned = prune_network(mixed(), task, options, Context())
    each = ["pruned", "batch norms measured again", "recovered"]
    assert [row["step"] for row in pruned.steps] == ["as it was", *each, *each]
    assert all(0 <= row["accuracy"] <= 1 for row in pruned.steps)
    assert all(len(row["training"]["curve"]) == 1 for row in pruned.rounds)
    assert not pruned.model.training


def test_without_epochs_only_batch_norms_are_measured(some_data: Dataset) -> None:
    task = dataclasses.replace(SMALL_TASK, dataset=some_data, judged=some_data.test)
    pruned = prune_network(mixed(), task, dataclasses.replace(INNER, recover=TrainOptions(epochs=0)), Context())
    assert [row["step"] for row in pruned.steps] == ["as it was", "pruned", "batch norms measured again"]
    assert "training" not in pruned.rounds[0]


def test_the_same_seed_gives_the_same_weights(some_data: Dataset) -> None:
    recover = TrainOptions(epochs=1, batch_size=16, distill=0.9)
    task = dataclasses.replace(SMALL_TASK, dataset=some_data)
    options = dataclasses.replace(INNER, recover=recover)
    one, again, other = (
        prune_network(mixed(), task, options, Context(seed=seed)).model.state_dict()["head.weight"]
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_what_is_measured_part_by_part_decides_where_it_is_asked_for(net: nn.Module, some_data: Dataset) -> None:
    probe = Probe(some_data.train, some_data.test, PREPROCESS)

    def measure(model: nn.Module, found: Dependencies) -> Rows:
        """Measure, and say of all but the last stage that nothing may go."""
        scores = {g.name: torch.ones(g.size) for g in found.groups}
        rows = measure_pruning(model, found, scores, probe, TASK.sample, Context(), keep_ratios=(0.5,))
        dear = [r if r.part.startswith("stages.3") else dataclasses.replace(r, loss=r.loss + 1000) for r in rows]
        return dear, judge(model, probe)[1]

    task = dataclasses.replace(TASK, dataset=some_data, measure=measure)
    options = dataclasses.replace(HALF, amount="0.9", sensitivity=True)
    choice, _ = plan_pruning(net, task, options, Context())
    assert all(n.startswith("stages.3") for n in (*choice.plan.kept, *choice.plan.removed))
    without, _ = plan_pruning(net, task, dataclasses.replace(options, sensitivity=False), Context())
    assert choice.plan != without.plan


# Contradictions


@pytest.mark.parametrize("step", [prune_network, plan_pruning])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"unit": ""}, "nothing says how much to prune"),
        ({"steps": 0}, "steps is 0"),
        ({"unit": "latency"}, "no budget is counted in 'latency'"),
        ({"amount": "1M"}, "macs=1M is not below"),
        ({"guard": ("stages.7",)}, "the network has no such layer"),
        ({"keep": {"head": 0.5}}, "head cannot be pruned"),
        ({"amount": "0.01"}, "cannot be met: nothing more can go"),
        ({"guard": ("stem", "grouped")}, "cannot be met: nothing more can go"),
    ],
)
def test_what_cannot_be_done_is_refused(step: Callable[..., object], changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        step(mixed(), SMALL_TASK, dataclasses.replace(INNER, **changed), Context())


def test_whoever_guards_too_much_is_told_what_is_guarded() -> None:
    with pytest.raises(UsageError) as e:
        prune_network(mixed(), SMALL_TASK, dataclasses.replace(INNER, amount="0.01"), Context())
    assert "guard less than stem.0" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"importance": "taylor"}, "the importance taylor needs images"),
        ({"importance": "activation"}, "the importance activation needs images"),
        ({"sensitivity": True}, "sensitivity needs images"),
        ({"recover": TrainOptions(epochs=1)}, "recovery needs images"),
        ({"importance": "taylor", "recover": TrainOptions(epochs=1)}, "the importance taylor and recovery need images"),
    ],
)
def test_what_needs_images_says_so_where_there_are_none(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        prune_network(mixed(), SMALL_TASK, dataclasses.replace(INNER, **changed), Context())
