"""The order in which images are gone through: drawn from all of them, or shard after shard where they lie elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attendc.data.images import MIXED, Images

__all__ = ["shuffled"]


def shuffled(images: Images, rng: np.random.Generator, *, mixed: int = MIXED) -> NDArray[np.int64]:
    """Return a permutation (N,) of the images' indices.

    Of images that lie elsewhere the shards are drawn first; then the images of `mixed` shards at a time are shuffled,
    so that no shard is needed again once the next ones have begun.
    """
    if images.shards is None:
        return rng.permutation(len(images))
    by_shard = np.argsort(images.shards.of, kind="stable")
    members = np.split(by_shard, np.flatnonzero(np.diff(images.shards.of[by_shard])) + 1)
    drawn = rng.permutation(len(members))
    return np.concatenate(
        [
            rng.permutation(np.concatenate([members[i] for i in drawn[start : start + mixed]]))
            for start in range(0, len(drawn), mixed)
        ]
    )
