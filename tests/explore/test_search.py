"""What is trained next: draws are judged before they are built, ranked by a proxy, and steered by what was learned."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore.small_study import SPACE, request

from attendc.context import Context
from attendc.errors import UsageError
from attendc.explore.candidate import candidate_from
from attendc.explore.performance import Weights, performance
from attendc.explore.request import prepare
from attendc.explore.search import Goal, Search, key_of, learned_from, propose
from attendc.explore.study import Proposal
from attendc.explore.trial import Trial

CORE = "cortex-a76"


@pytest.fixture
def search(tmp_path: Path, small_npz: Path) -> Search:
    return prepare(request(tmp_path, small_npz), Context()).search


def proposed(search: Search, trials: tuple[Trial, ...] = (), keys: frozenset[str] = frozenset()) -> Proposal:
    found = propose(search, trials, keys)
    assert found is not None
    return found


def as_trial(number: int, proposal: Proposal, accuracy: float) -> Trial:
    rungs = ({"epochs": 1, "accuracy": accuracy}, {"epochs": 3, "accuracy": accuracy})
    return Trial(number, "complete", **proposal.facts, rungs=rungs, accuracy=accuracy)


def test_what_is_proposed_keeps_every_constraint_and_tells_what_it_costs(search: Search) -> None:
    facts = proposed(search).facts
    assert set(facts["constraints"].values()) == {""}
    assert facts["config"]["downsample"] == "pool"  # strided breaks two practices
    assert 0 < facts["instructions"][CORE] <= 3e6
    assert set(facts["proxies"]) == {"naswot", "synflow", "grad_norm", "snip"}


def test_draws_that_break_a_constraint_are_counted_by_its_name(search: Search) -> None:
    total: Counter[str] = Counter()
    keys: frozenset[str] = frozenset()
    for _ in range(6):
        one = proposed(search, keys=keys)
        keys |= {one.key}
        total.update(one.refused)
    # Half of the space is `strided`, which breaks both; nothing else in it breaks any.
    assert set(total) == {"no strided pointwise convolution", "anti-aliased downsampling"}
    assert len(set(total.values())) == 1


def test_the_proxy_ranks_the_designs_that_were_drawn(search: Search) -> None:
    drawn = dataclasses.replace(search, candidates=1)
    many = proposed(dataclasses.replace(search, candidates=8)).facts["proxies"]["naswot"]
    assert many > proposed(drawn).facts["proxies"]["naswot"]  # the first of the same eight


def test_no_design_is_proposed_twice_and_in_the_end_none_is_left(tmp_path: Path, small_npz: Path) -> None:
    few = tmp_path / "few.yaml"
    few.write_text(SPACE.replace("[32, 64]", "[32]").replace("[1, 2]", "[1]"))
    search = prepare(request(tmp_path, small_npz, space=str(few)), Context()).search
    keys: set[str] = set()
    while (found := propose(search, (), frozenset(keys))) is not None:
        assert found.key not in keys
        keys.add(found.key)
    assert len(keys) == 8  # 2 ways to stride, 2 gates, 2 activations


def test_where_nothing_keeps_the_budget_it_is_told_what_broke_it(tmp_path: Path, small_npz: Path) -> None:
    tight = prepare(request(tmp_path, small_npz, budgets=("params:100",)), Context()).search
    with pytest.raises(UsageError, match=r"each of 2000 designs that were drawn breaks a constraint: params \(2000\)"):
        propose(tight, (), frozenset())


def test_a_part_that_earns_its_cost_is_drawn_more(search: Search) -> None:
    """Designs with relu reach 0.9, those with silu 0.3: of 20 more, most have relu."""
    keys: frozenset[str] = frozenset()
    trials: tuple[Trial, ...] = ()
    one_each = dataclasses.replace(search, candidates=1)
    for number in range(12):
        found = proposed(one_each, keys=keys)
        keys |= {found.key}
        accuracy = 0.9 if found.facts["config"]["activation"] == "relu" else 0.3
        trials += (as_trial(number, found, accuracy),)
    later = [proposed(dataclasses.replace(one_each, salt=salt), trials, keys) for salt in range(20)]
    assert sum(one.facts["config"]["activation"] == "relu" for one in later) >= 15


def test_a_pareto_search_draws_from_the_same_space_and_is_steered_too(search: Search) -> None:
    pareto = dataclasses.replace(search, kind="pareto", candidates=1)
    keys: frozenset[str] = frozenset()
    trials: tuple[Trial, ...] = ()
    for number in range(12):
        found = proposed(pareto, trials, keys)
        keys |= {found.key}
        accuracy = 0.9 if found.facts["config"]["activation"] == "relu" else 0.1
        trials += (as_trial(number, found, accuracy),)
    later = [proposed(dataclasses.replace(pareto, salt=salt), trials, keys) for salt in range(1, 11)]
    assert sum(one.facts["config"]["activation"] == "relu" for one in later) >= 7


def test_designs_with_the_same_layers_are_one(search: Search) -> None:
    patch = candidate_from(proposed(search).facts["config"])
    other = dataclasses.replace(patch, config=dataclasses.replace(patch.config, stem_pool=not patch.config.stem_pool))
    assert other.key != patch.key
    assert key_of(other) == key_of(patch)  # a patch stem has no pool


def test_u_falls_by_two_decibels_for_each_point_of_accuracy_that_lacks() -> None:
    goal = Goal(Weights(), CORE, accuracy=0.9)
    cost: Any = Trial(0, "running", {}, params=200_000, instructions={CORE: 2e6})
    plain = performance(0.85, 200_000, 2e6)
    assert goal.performance(0.85, cost) == plain
    assert goal.steering(0.85, cost) == pytest.approx(plain - 2 * 5)
    assert goal.steering(0.95, cost) == goal.performance(0.95, cost)


def test_what_is_learned_compares_equal_training_and_leaves_the_baseline_out() -> None:
    goal = Goal(Weights(), CORE)
    early = ({"epochs": 1, "accuracy": 0.5},)
    base: dict[str, Any] = {"config": {}, "params": 1_000_000, "instructions": {CORE: 1e6}}
    trials = [
        Trial(0, "complete", **base, choices={"depth": 0}, rungs=early, baseline=True),
        Trial(1, "pruned", **base, choices={"depth": 0}, rungs=early),
        Trial(2, "complete", **base, choices={"depth": 1}, rungs=(*early, {"epochs": 3, "accuracy": 0.9})),
        Trial(3, "running", **base, choices={"depth": 1}),
    ]
    u = 40 * np.log10(50)  # a million parameters and instructions cost nothing
    assert learned_from(trials, goal) == [({"depth": 0}, pytest.approx(u)), ({"depth": 1}, pytest.approx(u))]
