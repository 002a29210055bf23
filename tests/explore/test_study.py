"""The rules by which processes share a study, seen from several connections to one file. Nothing is trained here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from attendc.errors import UsageError
from attendc.explore.storage import Heartbeat
from attendc.explore.study import Proposal, Study, TakenOverError, open_study

Join = Callable[..., Study]
DEAD_AFTER = Heartbeat(1, 1)
"""The clock of SQLite has whole seconds: a process that says nothing for two and a bit is dead."""


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Open the study as one more process would: `join("name of the process", settings...)`."""
    opened: list[Study] = []

    def one_more(worker: str = "here:1", *, epochs: int = 3, heartbeat: Heartbeat | None = None) -> Study:
        beat = heartbeat or Heartbeat(1, 60)
        url = f"sqlite:///{tmp_path / 'study.db'}"
        opened.append(open_study(url, "s", {"epochs": epochs, "seed": 0}, ("maximize",), beat, worker))
        return opened[-1]

    yield one_more
    for study in opened:
        study.close()


def proposal(key: str, **refused: int) -> Proposal:
    facts: dict[str, Any] = {"config": {"design": key}, "choices": {"depth": 1}}
    return Proposal(key, facts, {"depth": 3}, refused)


def test_a_waiting_trial_is_taken_by_one_process_alone(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    one.add(proposal("a"))
    taken = one.claim(5)
    assert taken is not None
    assert other.claim(5) is None
    assert [(t.number, t.state, t.worker) for t in other.trials()] == [(0, "running", "here:1")]


def test_two_processes_that_find_the_same_trial_waiting_do_not_both_take_it(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    one.add(proposal("a"))
    seen_by_both = other.frozen()[0]
    assert one.claim(5) is not None
    assert not other._take(seen_by_both)  # what it saw is a moment old: the storage knows better
    assert other.trials()[0].worker == "here:1"


def test_of_two_that_drew_the_same_design_the_first_is_trained(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    for process in (one, other):
        process.add(proposal("same"))
    taken = other.claim(5)
    assert taken is not None
    assert taken.number == 0
    assert one.claim(5) is None
    second = one.trials()[1]
    assert (second.state, second.error) == ("failed", "the same design as trial 0")


def test_the_second_is_withdrawn_too_when_the_first_is_done(join: Join) -> None:
    study = join()
    study.add(proposal("same"))
    taken = study.claim(5)
    assert taken is not None
    study.finish(taken, "complete", [1.0])
    study.add(proposal("same"))
    assert study.claim(5) is None
    assert [t.state for t in study.trials()] == ["complete", "failed"]


def test_no_more_are_taken_than_are_to_be_done(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    for key in "abc":
        one.add(proposal(key))
    assert [one.claim(2) is not None, other.claim(2) is not None, one.claim(2) is not None] == [True, True, False]
    assert [t.state for t in one.trials()] == ["running", "running", "waiting"]
    assert one.claim(3) is not None  # the same command with more trials goes on with it


def test_a_withdrawn_or_failed_trial_does_not_count(join: Join) -> None:
    study = join()
    for key in ("a", "a", "b"):
        study.add(proposal(key))
    first = study.claim(2)
    assert first is not None
    study.write(first, error="the loss is nan")
    study.finish(first, "failed")
    taken = [study.claim(2), study.claim(2)]
    assert [t.number for t in taken if t is not None] == [1, 2]  # the second "a" is no longer a second one
    assert study.live() == 2


def test_a_trial_handed_back_waits_for_anybody(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    one.add(proposal("a"))
    taken = one.claim(1)
    assert taken is not None
    one.finish(taken, "waiting")
    again = other.claim(1)
    assert again is not None
    assert (again.number, other.trials()[0].worker) == (0, "there:2")


def taken_and_left(study: Study, count: int) -> FrozenTrial:
    """Take a trial, and let its process seem dead."""
    taken = study.claim(count)
    assert taken is not None
    time.sleep(2.2)
    return taken


@pytest.mark.slow
def test_a_trial_without_signs_of_life_is_tried_again_and_its_old_process_drops_it(join: Join) -> None:
    slow, other = join("slow:1", heartbeat=DEAD_AFTER), join("there:2", heartbeat=DEAD_AFTER)
    slow.add(proposal("a"))
    taken = taken_and_left(slow, 1)
    other.repair()
    again = other.claim(1)
    assert again is not None
    first, second = other.trials()
    assert (first.state, first.error) == ("failed", "the process slow:1 was killed")
    assert (second.number, second.retry_of, second.config) == (1, 0, first.config)
    with pytest.raises(TakenOverError, match="trial 0 was given to another process"):
        slow.write(taken, rungs=[{"epochs": 1, "accuracy": 1.0}])
    with pytest.raises(TakenOverError):
        slow.finish(taken, "complete", [1.0])


@pytest.mark.slow
def test_a_design_that_is_tried_again_keeps_its_place_before_a_surplus_one(join: Join) -> None:
    """Two are due and three were drawn: were the retry, number 3, the last, the third would be done instead of it."""
    study = join(heartbeat=DEAD_AFTER)
    for key in "abc":
        study.add(proposal(key))
    assert taken_and_left(study, 2).number == 0
    study.repair()
    taken = [study.claim(2), study.claim(2)]
    assert [(t.number, t.user_attrs["key"]) for t in taken if t is not None] == [(3, "a"), (1, "b")]
    assert study.claim(2) is None
    assert [(t.number, t.state) for t in study.trials()] == [
        (0, "failed"),
        (1, "running"),
        (2, "waiting"),
        (3, "running"),
    ]


@pytest.mark.slow
def test_signs_of_life_keep_a_trial(join: Join) -> None:
    beat = Heartbeat(1, 2)
    one, other = join("here:1", heartbeat=beat), join("there:2", heartbeat=beat)
    one.add(proposal("a"))
    taken = one.claim(1)
    assert taken is not None
    with one.alive(taken):
        time.sleep(3.5)
        other.repair()
        assert [t.state for t in other.trials()] == ["running"]


@pytest.mark.slow
def test_a_design_that_kills_every_process_is_given_up(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attendc.explore.study.MOST_RETRIES", 1)
    study = join(heartbeat=DEAD_AFTER)
    study.add(proposal("a"))
    for _ in range(2):
        taken_and_left(study, 1)
        study.repair()
    assert study.claim(1) is None
    assert [t.state for t in study.trials()] == ["failed", "failed"]
    assert study.live() == 0


def test_refusals_of_all_processes_are_added_up(join: Join) -> None:
    one, other = join("here:1"), join("there:2")
    one.add(proposal("a", memory=2, params=1))
    other.add(proposal("b", memory=3))
    other.add(proposal("a", bytes=1))  # withdrawn later, but what was drawn for it was refused
    assert one.refused() == other.refused() == {"memory": 5, "params": 1, "bytes": 1}


def test_who_joins_with_other_settings_is_refused_and_told_which(join: Join) -> None:
    join(epochs=3)
    with pytest.raises(UsageError, match="study 's' was begun with other settings: epochs is 5, there it is 3"):
        join(epochs=5)
    assert join(epochs=3).trials() == ()
