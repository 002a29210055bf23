"""One split of a labelled image set, in memory or decoded from files when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attendc.data.decode import decoded

__all__ = [
    "Dataset",
    "Images",
    "Origin",
    "Shards",
    "evenly",
    "images_from_array",
    "images_from_files",
    "take",
    "within_reach",
]

Uint8Image = NDArray[np.uint8]

MIXED = 4
"""Shards from elsewhere whose images are mixed with one another."""


@dataclass(frozen=True)
class Shards:
    """Where images lie that come a shard at a time, so that those of one shard are best read together.

    Attributes:
        of: int64 (N,), the shard of each image.
        bring: gets a shard, by its number in `of`, to this machine, and waits until it is there.
    """

    of: NDArray[np.int64]
    bring: Callable[[int], None]


@dataclass(frozen=True)
class Origin:
    """Where images were opened, for other processes to open the same.

    Attributes:
        data: as in `--data`.
        seed: of the split, where the data has none.
        split: of the data set.
        indices: of its images, int64 (N,); None: all.
    """

    data: str
    seed: int
    split: Literal["train", "test"]
    indices: NDArray[np.int64] | None = None

    def at(self, indices: Sequence[int]) -> Origin:
        """Return the origin of the images at `indices` of these."""
        chosen = np.asarray(indices, np.int64)
        return replace(self, indices=chosen if self.indices is None else self.indices[chosen])


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes:
        read: indices -> uint8 images (H, W, C), which need not share a size; several threads may call it at once.
        targets: int64 (N,), the class of each.
        encoded: index -> content of the image file; None: there are none.
        shards: of images that lie elsewhere; None: any order of reading is as good as another.
        origin: of images that `load_dataset` opened; None: they are known to this process only.
    """

    read: Callable[[Sequence[int]], list[Uint8Image]]
    targets: NDArray[np.int64]
    encoded: Callable[[int], bytes] | None = None
    shards: Shards | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.targets)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split with a name per class; `name` is what `--data` was given."""

    name: str
    train: Images
    test: Images
    labels: tuple[str, ...]


def images_from_array(pixels: NDArray[np.uint8], targets: NDArray[np.int64]) -> Images:
    """Wrap uint8 (N, H, W) or (N, H, W, C) that is already in memory."""
    stack = pixels[..., None] if pixels.ndim == 3 else pixels
    return Images(lambda indices: [stack[i] for i in indices], targets)


def images_from_files(files: Sequence[Path], targets: NDArray[np.int64]) -> Images:
    """Wrap image files, decoded each time they are read.

    Raises:
        DataError: on reading, if a file is not an image that can be decoded; it names the file.
    """

    def read(indices: Sequence[int]) -> list[Uint8Image]:
        chosen = [files[i] for i in indices]
        return decoded(chosen, [str(f) for f in chosen], hint="Remove or replace that file")

    return Images(read, targets, lambda index: files[index].read_bytes())


def take(images: Images, indices: Sequence[int]) -> Images:
    """Return the images at `indices`, in that order."""
    chosen = [int(i) for i in indices]
    encoded, shards = images.encoded, images.shards
    return Images(
        lambda wanted: images.read([chosen[i] for i in wanted]),
        images.targets[chosen],
        encoded and (lambda index: encoded(chosen[index])),
        shards and replace(shards, of=shards.of[chosen]),
        images.origin and images.origin.at(chosen),
    )


def evenly(images: Images, count: int) -> Images:
    """Return `count` images spread evenly over the whole, all of them if there are fewer.

    Of images that lie elsewhere they come from a few shards.
    """
    if count >= len(images):
        return images
    among = within_reach(images, count)
    return take(images, [i * among // count for i in range(count)])


def within_reach(images: Images, count: int) -> int:
    """Return from how many of the first images `count` are best chosen: from all, or of shards from `MIXED` or more."""
    if images.shards is None:
        return len(images)
    ends = [*(np.flatnonzero(np.diff(images.shards.of)) + 1).tolist(), len(images)]
    return next((end for end in ends[MIXED - 1 :] if end >= count), len(images))
