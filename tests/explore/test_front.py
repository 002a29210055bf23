"""The Pareto front of trials."""

from __future__ import annotations

import dataclasses
from typing import Any

from attendc.explore.front import front
from attendc.explore.trial import Trial

CORE = "cortex-a76"


def trial(number: int, accuracy: float, instructions: float, **given: Any) -> Trial:
    usual = Trial(number, "complete", {}, accuracy=accuracy, instructions={CORE: instructions})
    return dataclasses.replace(usual, **given)


def test_what_another_beats_in_both_is_not_on_it() -> None:
    trials = [trial(0, 0.9, 3e6), trial(1, 0.8, 1e6), trial(2, 0.85, 4e6)]  # trial 0 is better and cheaper than 2
    assert front(trials, CORE) == (1, 0)


def test_equal_cost_keeps_the_better_and_equal_accuracy_the_cheaper() -> None:
    trials = [trial(0, 0.8, 2e6), trial(1, 0.9, 2e6), trial(2, 0.9, 3e6)]
    assert front(trials, CORE) == (1,)


def test_of_two_that_are_equal_the_first_stays() -> None:
    assert front([trial(0, 0.8, 2e6), trial(1, 0.8, 2e6)], CORE) == (0,)


def test_those_not_trained_to_the_end_and_those_that_break_a_constraint_are_left_out() -> None:
    trials = [
        trial(0, 0.9, 3e6),
        trial(1, 0.99, 1e6, state="pruned"),
        trial(2, 0.99, 1e6, constraints={"memory": "300,000, 200,000 allowed"}),
        trial(3, 0.99, 1e6, state="running"),
    ]
    assert front(trials, CORE) == (0,)
    assert front(trials[1:], CORE) == ()
