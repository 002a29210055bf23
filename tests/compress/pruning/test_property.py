"""Whatever member of the family, budget and importance: what comes out runs, fits its budget and can be used."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings, strategies as st
from nets import settle
from torch import nn

from attendc.checkpoint import load_model, read_weights, save_checkpoint
from attendc.compress.pruning.apply import apply_prune_plan
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.importance import IMPORTANCES
from attendc.compress.pruning.plan import PrunePlan, joined, plan_from_json, plan_to_json
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, prune_network
from attendc.context import Context
from attendc.data.images import Dataset, images_from_array
from attendc.errors import UsageError
from attendc.jobs.inspect import inspect_file
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.metrics import count_macs, count_params
from attendc.models.attendnext import attendnext_from_config
from attendc.opening import CheckpointRequest
from attendc.types import Architecture, Preprocess, Spec

STABLE = settings(derandomize=True, deadline=None, database=None)
"""The same examples every time; nothing is suppressed."""
DEAR = settings(STABLE, phases=[Phase.generate])
"""The same, without looking for a smaller example where one fails, which takes minutes."""

LABELS = tuple("abcdefghij")


@dataclass(frozen=True)
class Case:
    """A member of the family, and how it is pruned."""

    args: dict[str, Any]
    options: PruneOptions
    seed: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.args["in_channels"], 32, 32)

    @property
    def spec(self) -> Spec:
        channels = self.args["in_channels"]
        preprocess = Preprocess(32, 32, channels, (0.5,) * channels, (0.5,) * channels)
        return Spec(Architecture("attendnext", self.args), preprocess, LABELS)

    def network(self) -> nn.Module:
        torch.manual_seed(self.seed)
        return settle(attendnext_from_config(**self.args))

    def task(self) -> PruneTask:
        """Return noise to weigh channels on and to measure batch norms with."""
        rng = np.random.default_rng(self.seed)
        pixels = rng.integers(0, 256, (20, 32, 32, self.args["in_channels"]), np.uint8)
        images = images_from_array(pixels, rng.integers(0, 10, 20))
        dataset = Dataset("noise", images, images, LABELS)
        return PruneTask(torch.zeros(1, *self.shape), self.spec.preprocess, dataset)

    def costs(self, net: nn.Module) -> int:
        return count_macs(net, self.shape) if self.options.unit == "macs" else count_params(net)


def cases(deepest: int = 3) -> st.SearchStrategy[Case]:
    four_widths = st.lists(st.integers(2, 8).map(lambda k: 4 * k), min_size=4, max_size=4)
    args = st.fixed_dictionaries(
        {
            "widths": four_widths,
            "depths": st.lists(st.integers(1, deepest), min_size=4, max_size=4),
            "columns": st.sampled_from([1, 2, 4]),
            "stem_width": st.sampled_from([4, 8, 16]),
            "stem_stride": st.sampled_from([1, 2]),
            "stem_pool": st.booleans(),
            "gate": st.sampled_from(["softmax", "sigmoid", "hardsigmoid"]),
            "activation": st.sampled_from(["silu", "relu", "relu6", "hardswish"]),
            "in_channels": st.sampled_from([1, 3]),
            "classes": st.just(10),
        }
    )
    options = st.builds(
        PruneOptions,
        unit=st.sampled_from(["macs", "params"]),
        amount=st.integers(30, 90).map(lambda percent: f"0.{percent}"),
        importance=st.sampled_from(IMPORTANCES),
        guard=st.sampled_from([None, ()]),
        steps=st.sampled_from([1, 1, 2]),
    )
    return st.builds(Case, args, options, st.integers(0, 1000))


def pruned_or_refused(case: Case, net: nn.Module, context: Context) -> Pruned | None:
    """Prune, or return None where the budget is out of reach: with nothing more to go, more is left than it allows."""
    try:
        return prune_network(net, case.task(), case.options, context)
    except UsageError as e:
        told = re.search(r"cannot be met: nothing more can go: ([\d,]+) \w+ are left, ([\d,]+) were", e.message)
        if told is None:
            raise
        left, asked = (int(number.replace(",", "")) for number in told.groups())
        return None if left > asked else pytest.fail(e.message)


def check_budget(case: Case, net: nn.Module, pruned: Pruned, context: Context) -> None:
    limit, cost = float(case.options.amount) * case.costs(net), case.costs(pruned.model)
    assert cost <= limit
    assert cost == pruned.rounds[-1]["cost"]
    if cost < 0.98 * limit:
        assert pruned.rounds[-1]["note"].startswith("the smallest last step went")
        assert pruned.rounds[-1]["note"] in context.warnings


def check_columns(case: Case, net: nn.Module, pruned: Pruned) -> None:
    """Every column of every group keeps as many channels as the others, in the network and in the plan."""
    for conv in (m for m in pruned.model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)):
        assert conv.in_channels % conv.groups == conv.out_channels % conv.groups == 0
    for group in find_dependencies(net, case.task().sample).groups:
        kept = pruned.plan.kept.get(group.name, tuple(range(group.size)))
        columns = Counter(c // (group.size // group.columns) for c in kept)
        assert len(columns) == group.columns
        assert len(set(columns.values())) == 1


def check_reload(case: Case, pruned: Pruned, path: Path) -> None:
    spec = dataclasses.replace(
        case.spec, architecture=dataclasses.replace(case.spec.architecture, surgery=pruned.surgery)
    )
    save_checkpoint(path, pruned.model, spec)
    weights = read_weights(path)
    assert weights.spec is not None
    x = torch.randn(3, *case.shape, generator=torch.Generator().manual_seed(case.seed))
    with torch.no_grad():
        expected = pruned.model(x)
        assert expected.isfinite().all()
        assert torch.equal(load_model(weights, weights.spec.architecture)(x), expected)


def check_plan(case: Case, net: nn.Module, pruned: Pruned) -> None:
    """The plan as it would be read back gives the same network at once."""
    sample = case.task().sample
    plan = plan_from_json(plan_to_json(pruned.plan))
    at_once, surgery = apply_prune_plan(net, plan, find_dependencies(net, sample), sample)
    assert repr(at_once) == repr(pruned.model)
    assert surgery.layers == pruned.surgery.layers


@pytest.mark.slow
def test_a_pruned_member_meets_its_budget_and_loads_as_it_is(tmp_path: Path) -> None:
    met = []

    @settings(DEAR, max_examples=15)
    @given(cases())
    def one(case: Case) -> None:
        net, context = case.network(), Context()
        pruned = pruned_or_refused(case, net, context)
        met.append(pruned is not None)
        if pruned is not None:
            check_budget(case, net, pruned, context)
            check_columns(case, net, pruned)
            check_plan(case, net, pruned)
            check_reload(case, pruned, tmp_path / "pruned.safetensors")

    one()
    assert sum(met) > 0.5 * len(met)


@pytest.mark.slow
def test_a_pruned_member_becomes_int8_throughout(tmp_path: Path) -> None:
    converted = []

    @settings(DEAR, max_examples=3)
    @given(cases(deepest=2))
    def one(case: Case) -> None:
        pruned = pruned_or_refused(case, case.network(), Context())
        if pruned is None:
            return
        check_reload(case, pruned, tmp_path / "pruned.safetensors")
        request = QuantizeRequest(
            CheckpointRequest(tmp_path / "pruned.safetensors"),
            tmp_path / "int8",
            calib="random",
            formats=("tflite",),
            dtypes=("int8",),
            images=8,
            gate=False,
            force=True,
        )
        quantize_checkpoint(request, Context())
        found = inspect_file(CheckpointRequest(tmp_path / "int8" / "model.int8.tflite"))
        assert (found["float_ops"], found["transposes"]) == (0, 0)
        converted.append(case)

    one()
    assert len(converted) >= 2


# Plans alone

names = st.text("abc.", min_size=1, max_size=4)
plans = st.dictionaries(names, st.sets(st.integers(0, 30), min_size=1).map(lambda kept: tuple(sorted(kept)))).map(
    lambda kept: PrunePlan(kept, (), dict.fromkeys(kept, 31))
)


@settings(STABLE, max_examples=50)
@given(plans, st.lists(names, unique=True))
def test_any_plan_survives_json(plan: PrunePlan, removed: list[str]) -> None:
    whole = dataclasses.replace(plan, removed=tuple(removed))
    assert plan_from_json(plan_to_json(whole)) == whole


@settings(STABLE, max_examples=50)
@given(plans, st.randoms(use_true_random=False))
def test_three_plans_in_a_row_are_one_however_they_are_joined(first: PrunePlan, random: Any) -> None:
    def further(plan: PrunePlan) -> PrunePlan:
        """Return a plan for the network that `plan` left: some of what stayed, counted anew."""
        left = {n: range(len(kept)) for n, kept in plan.kept.items()}
        kept = {n: tuple(sorted(random.sample(r, random.randint(1, len(r))))) for n, r in left.items()}
        return PrunePlan(kept, (), {n: len(r) for n, r in left.items()})

    second = further(first)
    third = further(second)
    whole = joined(joined(first, second), third)
    assert whole == joined(first, joined(second, third))
    assert all(len(whole.kept[n]) == len(kept) for n, kept in third.kept.items())
    assert all(set(whole.kept[n]) <= set(first.kept[n]) for n in whole.kept)
