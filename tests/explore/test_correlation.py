"""How well proxies rank: Spearman's correlation by hand and against SciPy's, and which trials it looks at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from scipy.stats import spearmanr

from attendc.explore.correlation import best_proxy, measured_proxies, rank_correlation
from attendc.explore.proxies import PROXIES
from attendc.explore.trial import Trial

SMALL = st.integers(-3, 3)


def a_trial(number: int, *rungs: tuple[int, float], **scores: float) -> Trial:
    """Return a trial that reached an accuracy after each number of epochs."""
    facts: dict[str, Any] = {"config": {}, "choices": {}, "state": "complete" if rungs else "running"}
    reached = tuple({"epochs": epochs, "accuracy": accuracy} for epochs, accuracy in rungs)
    return Trial(number=number, rungs=reached, proxies=scores, **facts)


def test_it_is_one_where_the_order_is_the_same_and_minus_one_where_it_is_turned() -> None:
    assert rank_correlation([1, 2, 3], [10, 200, 201]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [9, 0.5, -100]) == pytest.approx(-1)


def test_without_ties_it_is_one_minus_six_sums_of_squares() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: differences 1 -1 1 -1, 1 - 6 * 4 / (4 * 15) = 0.6.
    assert rank_correlation([1, 2, 3, 4], [0.2, 0.1, 0.4, 0.3]) == pytest.approx(0.6)


def test_ties_share_the_mean_of_their_ranks() -> None:
    # Ranks 1 2.5 2.5 4 and 1 2 3 4, from their means -1.5 0 0 1.5 and -1.5 -0.5 0.5 1.5: 4.5 / sqrt(4.5 * 5).
    assert rank_correlation([1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0])])
def test_where_nothing_can_be_said_it_is_none(a: list[float], b: list[float]) -> None:
    assert rank_correlation(a, b) is None


@given(st.lists(st.tuples(SMALL, SMALL), min_size=2, max_size=12))
def test_it_is_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    if len({*a}) > 1 and len({*b}) > 1:
        assert rank_correlation(a, b) == pytest.approx(float(spearmanr(a, b).statistic), abs=1e-12)


def test_every_proxy_is_measured_at_the_rung_that_all_reached() -> None:
    # After one epoch snip ranks them 1 2 3 as the accuracy does; the pruned one counts, later epochs do not.
    trials = [
        a_trial(0, (1, 0.5), snip=1.0, synflow=3.0),
        a_trial(1, (1, 0.6), (3, 0.9), snip=2.0, synflow=2.0),
        a_trial(2, (1, 0.7), (3, 0.8), snip=3.0, synflow=1.0),
    ]
    found = {one["name"]: one for one in measured_proxies(trials)}
    assert list(found) == list(PROXIES)
    assert found["snip"] == {
        "name": "snip",
        "source": PROXIES["snip"].source,
        "rank_correlation": pytest.approx(1),
        "trials": 3,
    }
    assert found["synflow"]["rank_correlation"] == pytest.approx(-1)
    assert (found["naswot"]["rank_correlation"], found["naswot"]["trials"]) == (None, 0)


def test_trials_without_that_rung_and_scores_that_are_no_numbers_are_left_out() -> None:
    trials = [
        a_trial(0, (4, 0.9), snip=9.0),  # the first rung of the others was skipped
        a_trial(1, (1, 0.6), (4, 0.8), snip=2.0),
        a_trial(2, (1, 0.7), snip=math.inf),
        a_trial(3, (1, 0.5), snip=1.0),
        a_trial(4, snip=5.0),  # still running
    ]
    snip = next(one for one in measured_proxies(trials) if one["name"] == "snip")
    assert (snip["rank_correlation"], snip["trials"]) == (pytest.approx(1), 2)


def test_a_killed_trial_does_not_count_beside_the_one_that_trains_its_design_again() -> None:
    killed = replace(a_trial(0, (1, 0.5), snip=1.0), state="failed")
    found = measured_proxies([killed, a_trial(1, (1, 0.6), snip=2.0), a_trial(2, (1, 0.5), snip=1.0)])
    assert next(one["trials"] for one in found if one["name"] == "snip") == 2


def test_of_no_trials_nothing_is_known() -> None:
    assert {(one["rank_correlation"], one["trials"]) for one in measured_proxies([])} == {(None, 0)}


def eight(**directions: float) -> list[Trial]:
    """Return eight trials, the later the better, whose scores go up (1), down (-1) or not at all (0)."""
    return [a_trial(k, (1, k / 10), **{name: k * way for name, way in directions.items()}) for k in range(8)]


def test_the_proxy_that_ranked_best_is_taken() -> None:
    assert best_proxy(eight(naswot=-1, synflow=0, snip=1)) == "snip"


def test_too_few_trials_say_nothing_and_naswot_is_taken() -> None:
    trials = eight(naswot=-1, snip=1)[:7]
    assert best_proxy(trials) == "naswot"
    assert best_proxy(trials, at_least=7) == "snip"


@pytest.mark.parametrize(
    ("order", "squares", "taken"),
    [([6, 2, 3, 4, 5, 1, 8, 7], 52, "snip"), ([6, 3, 2, 4, 5, 1, 8, 7], 54, None)],
)
def test_a_proxy_is_taken_that_ranks_better_than_chance_alone(
    order: list[int], squares: int, taken: str | None
) -> None:
    # Of 8 unrelated pairs the correlation has the standard deviation 1 / sqrt(7) = 0.378. Differences of ranks whose
    # squares add up to 52 make 1 - 6 * 52 / (8 * 63) = 0.381, and 54 make 0.357.
    assert sum((rank - k) ** 2 for k, rank in enumerate(order, 1)) == squares
    assert best_proxy([a_trial(k, (1, k / 10), snip=float(rank)) for k, rank in enumerate(order)]) == taken


@pytest.mark.parametrize("way", [-1, 0])
def test_none_is_taken_that_ranks_no_better_than_chance(way: int) -> None:
    assert best_proxy(eight(naswot=way, snip=way)) is None
