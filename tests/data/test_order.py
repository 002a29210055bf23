"""The order in which images are gone through."""

from __future__ import annotations

import dataclasses

import numpy as np

from attendc.data.images import Shards, evenly, images_from_array, take, within_reach
from attendc.data.order import shuffled

PLAIN = images_from_array(np.zeros((60, 1, 1), np.uint8), np.arange(60))
OF = np.repeat(np.arange(6), 10)  # six shards of ten
SHARDED = dataclasses.replace(PLAIN, shards=Shards(OF, lambda shard: None))


def test_images_of_this_machine_come_in_any_order() -> None:
    assert np.array_equal(shuffled(PLAIN, np.random.default_rng(3)), np.random.default_rng(3).permutation(60))


def test_images_in_shards_come_four_shards_at_a_time() -> None:
    order = shuffled(SHARDED, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(60))
    first, second = {*OF[order[:40]]}, {*OF[order[40:]]}
    assert (len(first), len(second), first & second) == (4, 2, set())
    assert len({*OF[order[:10]]}) > 1  # mixed, not one after the other


def test_a_seed_draws_the_same_order_again_and_another_one_other_shards() -> None:
    orders = [shuffled(SHARDED, np.random.default_rng([seed, 1])) for seed in (0, 0, 1, 2, 3)]
    assert np.array_equal(orders[0], orders[1])
    assert len({frozenset(OF[order[:40]].tolist()) for order in orders}) > 1


def test_shards_whose_images_lie_apart_are_gone_through_together() -> None:
    mixed = dataclasses.replace(SHARDED, shards=Shards(np.arange(60) % 6, lambda shard: None))
    order = shuffled(mixed, np.random.default_rng(0), mixed=1)
    assert all(len({*(order[start : start + 10] % 6)}) == 1 for start in range(0, 60, 10))


def test_a_sample_of_shards_comes_from_four_of_them_or_from_as_many_as_it_takes() -> None:
    assert [within_reach(SHARDED, count) for count in (1, 40, 41, 60)] == [40, 40, 50, 60]
    assert within_reach(PLAIN, 1) == 60
    assert evenly(SHARDED, 4).targets.tolist() == [0, 10, 20, 30]
    assert evenly(PLAIN, 4).targets.tolist() == [0, 15, 30, 45]


def test_what_is_taken_keeps_its_shards() -> None:
    some = take(SHARDED, [59, 0, 10])
    assert some.shards is not None
    assert some.shards.of.tolist() == [5, 0, 1]
