"""Drawing designs by a table of probabilities."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from attendc.explore.generator import Generator, uniform
from attendc.explore.space import Space, read_space

SPACE = Space("small", {"columns": (2, 4), "width1": (16, 32, 64, 128), "gate": ("sigmoid",)})


def test_it_starts_with_equal_probabilities() -> None:
    assert uniform(SPACE) == Generator({"columns": (1 / 2, 1 / 2), "width1": (1 / 4,) * 4, "gate": (1.0,)})


def test_a_draw_is_an_index_for_each_dimension() -> None:
    space = read_space("fashion-mnist")
    choices = uniform(space).draw(np.random.default_rng(0))
    assert list(choices) == list(space.dimensions)
    assert all(type(i) is int and 0 <= i < len(space.dimensions[name]) for name, i in choices.items())


def test_the_seed_decides_the_draws() -> None:
    generator = uniform(read_space("fashion-mnist"))
    draws = [[generator.draw(rng) for _ in range(5)] for rng in map(np.random.default_rng, (7, 7, 8))]
    assert draws[0] == draws[1] != draws[2]


def test_choices_come_as_often_as_their_probability_says() -> None:
    generator = Generator({"columns": (0.9, 0.1), "width1": (0.0, 0.25, 0.25, 0.5)})
    rng = np.random.default_rng(0)
    drawn = [generator.draw(rng) for _ in range(4000)]
    for name, probabilities in generator.probabilities.items():
        counts = Counter(one[name] for one in drawn)
        # three standard deviations of a binomial count: 3 * sqrt(4000 / 4) = 95
        assert [counts[i] for i in range(len(probabilities))] == pytest.approx(
            [4000 * p for p in probabilities], abs=95
        )
