"""U by hand, and what it is worth to gain in each part."""

from __future__ import annotations

import math

import pytest

from attendc.explore.performance import LEAST_ACCURACY, Weights, performance


def test_u_by_hand() -> None:
    # 20 log10(90^2 / (0.25^0.5 * 4^0.5)) = 20 log10(8100 / (0.5 * 2))
    assert performance(0.90, 250_000, 4e6) == pytest.approx(20 * math.log10(8100))


def test_half_of_either_cost_is_three_decibels() -> None:
    # 20 log10(2^0.5) = 10 log10(2)
    whole = performance(0.7, 5e6, 60e6)
    assert performance(0.7, 5e6, 30e6) - whole == pytest.approx(10 * math.log10(2))
    assert performance(0.7, 2.5e6, 60e6) - whole == pytest.approx(10 * math.log10(2))


def test_weights_count_by_their_part() -> None:
    assert performance(0.9, 1e6, 2e6, Weights(alpha=2, beta=0.5, gamma=1)) == pytest.approx(20 * math.log10(8100 / 2))
    assert performance(0.9, 7e6, 9e6, Weights(alpha=1, beta=0, gamma=0)) == pytest.approx(20 * math.log10(90))


def test_no_accuracy_is_a_number_below_every_other() -> None:
    assert performance(0.0, 1e6, 1e6) == performance(LEAST_ACCURACY, 1e6, 1e6) < performance(0.0002, 1e6, 1e6)


@pytest.mark.parametrize(("accuracy", "params", "instructions"), [(90.0, 1, 1), (-0.1, 1, 1), (0.9, 0, 1), (0.9, 1, 0)])
def test_what_is_no_accuracy_or_cost_is_refused(accuracy: float, params: float, instructions: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        performance(accuracy, params, instructions)
