"""One process at work: what is stopped early, what is waited for, and what happens when it is interrupted."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from explore.small_study import DiesAt, expect_each_done_once, request, start, together, trials_of

from attendc.context import Context
from attendc.data.images import Images
from attendc.errors import DataError, UsageError
from attendc.explore.phases import explore
from attendc.explore.request import ExploreRequest, prepare
from attendc.explore.trial import Trial
from attendc.explore.worker import is_dominated

CORE = "cortex-a76"


@pytest.fixture
def wanted(tmp_path: Path, small_npz: Path) -> ExploreRequest:
    """Return a request whose folder is there."""
    (tmp_path / "out").mkdir()
    return request(tmp_path, small_npz, trials=3)


def worked(wanted: ExploreRequest, context: Context | None = None) -> tuple[Trial, ...]:
    explore(prepare(wanted, context or Context()), context or Context())
    return trials_of(wanted)


@pytest.mark.parametrize("search", ["synthesis", "pareto"])
def test_each_trial_is_trained_to_the_end_or_to_a_rung(wanted: ExploreRequest, search: Any) -> None:
    trials = worked(dataclasses.replace(wanted, search=search, trials=6))
    expect_each_done_once(trials, 6)
    for trial in trials:
        reached = [rung["epochs"] for rung in trial.rungs]
        assert reached == ([1, 3] if trial.state == "complete" else [1])
        assert trial.accuracy == trial.rungs[-1]["accuracy"]
    assert trials[0].state == "complete"  # nobody was better before


def test_a_search_of_one_process_can_be_repeated(wanted: ExploreRequest, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    once, again = worked(wanted), worked(dataclasses.replace(wanted, output=tmp_path / "again"))
    assert [(t.config, t.rungs, t.proxies) for t in once] == [(t.config, t.rungs, t.proxies) for t in again]


def test_the_baseline_is_trained_first_and_never_stopped(wanted: ExploreRequest) -> None:
    given = dataclasses.replace(wanted, baseline="attendnext_nano_arm", epochs=2, budgets=("cortex-a76:0.5",))
    first, *others = worked(given)
    assert (first.number, first.baseline, first.state, first.choices) == (0, True, "complete", {})
    assert first.config["input_size"] == [32, 32]
    assert "instructions on cortex-a76" in [name for name, why in first.constraints.items() if why]  # it is not half
    assert all(t.instructions[CORE] <= first.instructions[CORE] / 2 for t in others)


def test_an_interrupted_trial_is_handed_back_and_gone_on_with(wanted: ExploreRequest) -> None:
    said: list[str] = []

    def interrupted(text: str) -> None:
        said.append(text)
        if len(said) == 3:  # the second trial has just been taken
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worked(wanted, Context(say=interrupted))
    assert [t.state for t in trials_of(wanted)] == ["complete", "waiting"]
    trials = worked(wanted)
    expect_each_done_once(trials, 3)
    assert [t.number for t in trials] == [0, 1, 2]


def test_no_trial_is_begun_after_the_time_is_up(wanted: ExploreRequest) -> None:
    assert worked(dataclasses.replace(wanted, timeout=0.0)) == ()


def test_more_trials_go_on_with_a_finished_study_and_the_same_number_does_nothing(wanted: ExploreRequest) -> None:
    three = worked(wanted)
    assert worked(wanted) == three
    five = worked(dataclasses.replace(wanted, trials=5))
    assert five[:3] == three
    expect_each_done_once(five, 5)


def test_three_trainings_that_fail_one_after_another_end_it(wanted: ExploreRequest) -> None:
    prepared = prepare(wanted, Context())
    readable = prepared.search.protocol

    def read(indices: Sequence[int]) -> list[Any]:
        if list(indices) != sorted(indices):  # only training reads them in another order
            raise DataError("image 40 cannot be decoded")
        return readable.train.read(indices)

    protocol = dataclasses.replace(readable, train=Images(read, readable.train.targets))
    search = dataclasses.replace(prepared.search, protocol=protocol)
    with pytest.raises(DataError, match="image 40 cannot be decoded"):
        explore(dataclasses.replace(prepared, search=search), Context())
    assert [(t.state, t.error) for t in trials_of(wanted)] == [("failed", "image 40 cannot be decoded")] * 3


@pytest.mark.slow
def test_a_process_waits_for_the_trial_of_a_killed_one_and_does_it(wanted: ExploreRequest) -> None:
    doomed = start(dataclasses.replace(wanted, trials=1), DiesAt(1))
    doomed.join(30)
    assert [t.state for t in trials_of(wanted)] == ["running"]
    started = time.monotonic()
    first, second = worked(dataclasses.replace(wanted, trials=1))
    assert time.monotonic() - started > 1  # it cannot know at once that nobody trains it any more
    assert (first.state, second.state, second.retry_of) == ("failed", "complete", 0)
    assert second.config == first.config


@pytest.mark.slow
def test_two_processes_on_a_file_and_one_that_is_killed(wanted: ExploreRequest) -> None:
    ten = dataclasses.replace(wanted, trials=10)
    barrier = together(2)
    processes = [start(ten, DiesAt(2), barrier), start(ten, barrier=barrier)]
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [-9, 0]
    trials = trials_of(ten)
    expect_each_done_once(trials, 10)
    killed = [t.number for t in trials if t.error.endswith("was killed")]
    assert [t.retry_of for t in trials if t.retry_of is not None and t.done] == killed
    assert len(killed) == 1


def dominated(own: tuple[float, float], *others: tuple[float, float]) -> bool:
    """Return whether (accuracy, instructions) `own` is stopped at epoch 1 where `others` were measured."""
    trials = [
        Trial(n, "running", {}, rungs=({"epochs": 1, "accuracy": a},), instructions={CORE: c})
        for n, (a, c) in enumerate(others)
    ]
    mine = Trial(99, "running", {}, instructions={CORE: own[1]})
    return is_dominated(trials, mine, 1, own[0], CORE)


def test_with_two_objectives_it_is_dominance_that_stops() -> None:
    better = (0.9, 1e6)
    assert not dominated((0.5, 2e6))  # the first goes on
    assert dominated((0.5, 2e6), better)
    assert not dominated((0.5, 0.5e6), better)  # worse, but cheaper
    assert not dominated((0.95, 2e6), better)
    # Of seven, those go on that fewer than 7 // 3 = 2 dominate.
    assert not dominated((0.5, 2e6), better, *[(0.4, 1e6)] * 5)
    assert dominated((0.5, 2e6), better, better, *[(0.4, 1e6)] * 4)


@pytest.mark.parametrize("budget", ["cortex-a77:2M", "params", "accuracy:2"])
def test_a_budget_that_is_none_is_refused_before_anything_is_done(wanted: ExploreRequest, budget: str) -> None:
    with pytest.raises(UsageError, match="is no budget"):
        prepare(dataclasses.replace(wanted, budgets=(budget,)), Context())
