"""Batches made ahead: the same in the same order, and no thread outlives who asked for them."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from attendc.data.images import Images, Shards, images_from_array
from attendc.data.prefetch import batches_ahead, prefetched

TEN = images_from_array(np.arange(10, dtype=np.uint8).reshape(10, 1, 1), np.arange(10))


def of_ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("attendc-")]


# prefetched


def test_the_order_is_kept_though_the_first_takes_longest() -> None:
    def made(number: int) -> int:
        time.sleep(0.02 * (number == 0))
        return number * 10

    assert list(prefetched(made, range(6), workers=3)) == [0, 10, 20, 30, 40, 50]


def test_the_next_is_made_while_the_one_before_is_used() -> None:
    begun = [threading.Event() for _ in range(4)]
    numbers = prefetched(lambda n: begun[n].set() or n, range(4), workers=1)
    assert next(numbers) == 0
    assert begun[1].wait(5)  # nobody has asked for it
    numbers.close()


def test_what_is_made_ahead_has_a_bound() -> None:
    made: list[int] = []
    numbers = prefetched(lambda n: made.append(n) or n, range(100), workers=2)
    next(numbers)
    numbers.close()
    assert len(made) <= 2 + 2  # the workers' and two that are ready


def test_an_error_comes_in_its_turn_and_ends_all_threads() -> None:
    def made(number: int) -> float:
        return 1 / (2 - number)

    numbers = prefetched(made, range(5), workers=3)
    assert [next(numbers), next(numbers)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(numbers)
    assert of_ours() == []


def test_threads_end_when_the_caller_stops_early() -> None:
    numbers = prefetched(lambda n: n, range(100), workers=2)
    next(numbers)
    assert of_ours() != []
    numbers.close()
    assert of_ours() == []


def test_ctrl_c_while_waiting_ends_all_threads() -> None:
    def made(number: int) -> int:
        if number == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.1)
        return number

    with pytest.raises(KeyboardInterrupt):
        list(prefetched(made, range(5), workers=1))
    assert of_ours() == []


# batches_ahead


def batch(number: int, indices: list[int]) -> tuple[int, list[int]]:
    return number, indices


def test_batches_follow_the_order_and_the_last_smaller_one_is_left_out() -> None:
    order = np.array([3, 1, 4, 0, 5, 9, 2])
    assert list(batches_ahead(TEN, order, 3, batch)) == [(0, [3, 1, 4]), (1, [0, 5, 9])]


def test_they_go_on_from_any_batch() -> None:
    order = np.random.default_rng(0).permutation(10)
    whole = list(batches_ahead(TEN, order, 2, batch))
    assert list(batches_ahead(TEN, order, 2, batch, first=3)) == whole[3:]


def in_shards(brought: list[int]) -> Images:
    """Return 12 images in as many shards."""
    images = images_from_array(np.zeros((12, 1, 1), np.uint8), np.zeros(12, np.int64))
    return Images(images.read, images.targets, shards=Shards(np.arange(12), brought.append))


def test_shards_are_brought_in_the_order_of_their_need_and_four_ahead() -> None:
    brought: list[int] = []
    batches = batches_ahead(in_shards(brought), np.arange(12)[::-1], 2, batch)
    next(batches)
    until = time.monotonic() + 5
    while len(brought) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    assert brought == [11, 10, 9, 8, 7, 6]  # the 2 of the first batch and the 4 after them
    batches.close()
    assert of_ours() == []


def test_from_a_later_batch_on_no_shard_of_the_earlier_ones_is_brought() -> None:
    brought: list[int] = []
    assert len(list(batches_ahead(in_shards(brought), np.arange(12), 2, batch, first=4))) == 2
    assert {*brought} <= {8, 9, 10, 11}


def test_a_shard_that_cannot_be_brought_is_left_to_who_reads_it() -> None:
    def fail(shard: int) -> None:
        raise OSError(shard)

    images = Images(TEN.read, TEN.targets, shards=Shards(np.arange(10), fail))
    assert len(list(batches_ahead(images, np.arange(10), 2, batch))) == 5
