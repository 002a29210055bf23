"""Batches made ahead by threads while the step before them is computed.

Decoding, scaling and torch's operators let go of Python's lock, so threads are enough; nothing is copied between
processes. Which thread makes a batch decides nothing about it: the batches and their order are those of a plain loop.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attendc.data.images import MIXED, Images

__all__ = ["batches_ahead", "prefetched"]

T = TypeVar("T")

_MOST_WORKERS = 8
_SPARE = 2
"""So many things lie ready beyond those that are being made."""


def batches_ahead(
    images: Images, order: NDArray[np.int64], batch_size: int, make: Callable[[int, list[int]], T], *, first: int = 0
) -> Iterator[T]:
    """Yield `make(number, indices)` of each whole batch of `order` from batch `first` on.

    Shards that lie elsewhere are brought while those before them are read, so that `make` finds them here.
    """

    def made(number: int) -> T:
        return make(number, [int(i) for i in order[number * batch_size : (number + 1) * batch_size]])

    numbers = range(first, len(order) // batch_size)
    whole = order[: len(order) // batch_size * batch_size]
    with _shards_ahead(images, whole, first * batch_size) as reached, closing(prefetched(made, numbers)) as batches:
        for number, batch in zip(numbers, batches, strict=True):
            reached((number + 1) * batch_size)
            yield batch


def prefetched(make: Callable[[int], T], numbers: Sequence[int], *, workers: int = 0) -> Generator[T, None, None]:
    """Yield `make(n)` for each of `numbers`, in their order, made ahead by so many threads; 0: as the machine has.

    What `make` raises is raised in its turn. When the caller stops (an error, Ctrl-C, `close`), what has not begun is
    dropped and what has is waited for.
    """
    workers = workers or min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="attendc-batches")
    waiting: deque[Future[T]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) >= workers + _SPARE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _shards_ahead(images: Images, order: NDArray[np.int64], start: int) -> Iterator[Callable[[int], None]]:
    """Give what is to be told how far `order` was read: it has the shards up to there and `MIXED` more brought.

    A shard that cannot be brought is told by whoever reads it.
    """
    shards = images.shards
    if shards is None:
        yield lambda position: None
        return
    numbers, first_at = np.unique(shards.of[order[start:]], return_index=True)
    by_need = np.argsort(first_at)
    needed_at, coming = first_at[by_need] + start, deque(numbers[by_need].tolist())
    pool = ThreadPoolExecutor(1, thread_name_prefix="attendc-shards")

    def reached(position: int) -> None:
        due = int(np.searchsorted(needed_at, position)) + MIXED
        while coming and len(needed_at) - len(coming) < due:
            pool.submit(shards.bring, coming.popleft())

    try:
        reached(start + 1)
        yield reached
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
