"""What is learned from trials whose U is made up, so that the effect of every part is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from attendc.explore.generator import Generator, uniform
from attendc.explore.inquisitor import FLOOR, Part, generator_after, learn
from attendc.explore.space import Space

SPACE = Space(
    "made-up",
    {"width1": (16, 32, 48, 64), "width2": (16, 32, 48, 64), "columns": (2, 4, 8, 16), "gate": ("sigmoid", "softmax")},
)
EFFECTS = {
    "width1": (0.0, 2.0, 1.0, -3.0),
    "width2": (-1.0, 0.0, 0.0, 1.0),
    "columns": (3.0, -1.0, -1.0, -1.0),
    "gate": (0.5, -0.5),
}
"""Of each choice on U; each dimension's add up to 0. The best of the 4 * 4 * 4 * 2 = 128 designs takes BEST."""
BEST = {"width1": 1, "width2": 3, "columns": 0, "gate": 0}
NOISE = 0.3

Seen = list[tuple[Mapping[str, int], float]]


def made_up_u(choices: Mapping[str, int], rng: np.random.Generator) -> float:
    return 80 + sum(EFFECTS[name][i] for name, i in choices.items()) + NOISE * float(rng.normal())


def trials(count: int, seed: int = 0) -> Seen:
    rng = np.random.default_rng(seed)
    drawn = [uniform(SPACE).draw(rng) for _ in range(count)]
    return [(choices, made_up_u(choices, rng)) for choices in drawn]


def by_choice(parts: tuple[Part, ...]) -> dict[tuple[str, object], Part]:
    return {(part.dimension, part.choice): part for part in parts}


def test_every_choice_is_judged_in_the_order_of_the_space() -> None:
    parts = learn(SPACE, trials(20))
    assert [(p.dimension, p.choice) for p in parts] == [(d, c) for d, cs in SPACE.dimensions.items() for c in cs]


def test_effects_are_found_within_their_errors() -> None:
    """Of 14 effects in 3 sets of trials, 95 % should lie within two errors; nine in ten must."""
    off = [
        abs(part.effect - EFFECTS[part.dimension][SPACE.dimensions[part.dimension].index(part.choice)]) / part.error
        for seed in range(3)
        for part in learn(SPACE, trials(60, seed))
    ]
    assert sum(one < 2 for one in off) >= 0.9 * len(off)


def test_effects_are_against_the_mean_of_the_dimension() -> None:
    parts = learn(SPACE, trials(30))
    for name in SPACE.dimensions:
        assert sum(part.effect for part in parts if part.dimension == name) == pytest.approx(0, abs=1e-5)


def test_errors_shrink_as_trials_come() -> None:
    errors = [max(part.error for part in learn(SPACE, trials(count))) for count in (5, 20, 80)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2


def test_tried_counts_the_trials_that_have_the_choice() -> None:
    seen: Seen = [({"width1": 0, "width2": 1, "columns": 2, "gate": 0}, 80.0)] * 3
    found = by_choice(learn(SPACE, seen))
    assert found["width1", 16].tried == 3
    assert found["width1", 32].tried == 0
    assert sum(part.tried for part in found.values()) == 3 * len(SPACE.dimensions)


@pytest.mark.parametrize("seen", [[], trials(1), [(choices, 80.0) for choices, _ in trials(9)]])
def test_where_nothing_can_be_known_no_part_has_an_effect_and_each_an_error(seen: Seen) -> None:
    parts = learn(SPACE, seen)
    assert [part.effect for part in parts] == pytest.approx([0.0] * len(parts))
    assert all(part.error > 0.1 for part in parts)


def test_two_trials_tell_which_way_but_not_all_of_it() -> None:
    one = {"width1": 0, "width2": 0, "columns": 0, "gate": 0}
    found = by_choice(learn(SPACE, [(one, 84.0), ({**one, "gate": 1}, 80.0)]))
    assert 0 < found["gate", "sigmoid"].effect < 2  # 2 is half of the whole difference
    assert found["width1", 32].effect == pytest.approx(0)


def test_a_training_that_learned_nothing_does_not_outweigh_the_others() -> None:
    """At 10 % accuracy U is 38 dB below that at 90 %; the best design suffers such a fate once."""
    seen = [*trials(40), (BEST, 80.0 + 40 * math.log10(10 / 90))]
    generator = generator_after(SPACE, learn(SPACE, seen))
    for name, probabilities in generator.probabilities.items():
        assert max(range(len(probabilities)), key=lambda i: probabilities[i]) == BEST[name]


def test_of_a_dimension_with_one_choice_nothing_is_learned() -> None:
    space = Space("one", {"width1": (16, 32), "columns": (4,)})
    parts = learn(space, [({"width1": 0, "columns": 0}, 70.0), ({"width1": 1, "columns": 0}, 90.0)])
    assert [(part.dimension, part.choice) for part in parts] == [("width1", 16), ("width1", 32)]
    assert generator_after(space, parts).probabilities["columns"] == (1.0,)


def test_what_was_learned_is_the_same_wherever_it_is_computed() -> None:
    """Each process computes it from the finished trials; their order may differ by who finished first."""
    seen = trials(30)
    assert learn(SPACE, seen) == learn(SPACE, list(seen))
    again = learn(SPACE, seen[::-1])
    assert [p.effect for p in again] == pytest.approx([p.effect for p in learn(SPACE, seen)])


def test_better_parts_are_drawn_more_often() -> None:
    generator = generator_after(SPACE, learn(SPACE, trials(60)))
    for name, probabilities in generator.probabilities.items():
        assert sum(probabilities) == pytest.approx(1)
        assert max(range(len(probabilities)), key=lambda i: probabilities[i]) == BEST[name]
        assert probabilities[BEST[name]] > 1.5 / len(probabilities)


def test_every_choice_keeps_a_floor() -> None:
    generator = generator_after(SPACE, learn(SPACE, trials(200)))
    assert generator.probabilities["columns"][0] == pytest.approx(1 - FLOOR + FLOOR / 4, abs=0.01)
    assert all(p >= FLOOR / len(ps) for ps in generator.probabilities.values() for p in ps)


def test_without_trials_all_are_drawn_alike() -> None:
    probabilities = generator_after(SPACE, learn(SPACE, [])).probabilities
    assert probabilities == {name: pytest.approx(p) for name, p in uniform(SPACE).probabilities.items()}


def test_the_weight_of_a_choice_by_hand() -> None:
    parts = [Part("gate", "sigmoid", 0.5, 0.25, 5), Part("gate", "softmax", -0.5, 0.25, 5)]
    generator = generator_after(Space("one", {"gate": ("sigmoid", "softmax")}), parts, temperature=0.25)
    better = math.exp(0.5 / 0.5) / (math.exp(1) + math.exp(-1))
    assert generator.probabilities["gate"][0] == pytest.approx(FLOOR / 2 + (1 - FLOOR) * better)


def test_a_choice_that_constraints_refuse_each_time_fades() -> None:
    """Half of the draws have it; were it accepted a quarter as often, one trial in eight would."""
    space = Space("one", {"mix": ("border", "block")})
    told = {n: generator_after(space, [Part("mix", "border", 0, 1, n), Part("mix", "block", 0, 1, 0)]) for n in (1, 50)}
    assert told[1].probabilities["mix"][1] == pytest.approx(FLOOR / 2 + (1 - FLOOR) * (7 / 8) / (1 + 7 / 8))
    assert told[50].probabilities["mix"][1] == pytest.approx(FLOOR / 2, abs=2e-3)  # (7 / 8)^50 = 0.001


def draws_to_the_best(seed: int, *, steered: bool) -> int:
    """Return how many designs are drawn until the best one is: learned from after each of them, or not."""
    rng = np.random.default_rng(seed)
    generator: Generator = uniform(SPACE)
    seen: Seen = []
    while True:
        choices = generator.draw(rng)
        seen.append((choices, made_up_u(choices, rng)))
        if choices == BEST:
            return len(seen)
        if steered and len(seen) >= 6:
            generator = generator_after(SPACE, learn(SPACE, seen))


def test_the_best_design_is_found_in_fewer_draws_than_by_chance() -> None:
    """By chance it takes 128 draws on average, one for each design."""
    steered = sorted(draws_to_the_best(seed, steered=True) for seed in range(9))
    chance = sorted(draws_to_the_best(seed, steered=False) for seed in range(9))
    assert steered[4] < 40 < chance[4]
    assert steered[-1] < 128
