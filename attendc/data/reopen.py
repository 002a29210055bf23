"""The same images in another process, which opens them where the first one did."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

from attendc.data.images import Dataset, Images, Origin, take
from attendc.data.sources import load_dataset
from attendc.errors import DataError, UsageError

__all__ = ["Described", "described", "reopened"]


@dataclass(frozen=True)
class Described:
    """Attributes:
    origin: where to open the images.
    checksum: CRC-32 of their targets.
    """

    origin: Origin
    checksum: int


def described(images: Images) -> Described:
    """Return what another process needs to open these images.

    Raises:
        UsageError: if they were not opened by `load_dataset`.
    """
    if images.origin is None:
        raise UsageError(
            f"{len(images)} images are in the memory of one process, and several train",
            hint="Open them with attendc.load_dataset, or train in one process",
        )
    return Described(images.origin, zlib.crc32(images.targets.tobytes()))


def reopened(what: Described) -> Images:
    """Return the images.

    Raises:
        DataError: if they are not there, or others than those of the process that described them.
    """
    origin = what.origin
    dataset = _dataset(origin.data, origin.seed)
    images = dataset.train if origin.split == "train" else dataset.test
    fits = origin.indices is None or (len(origin.indices) > 0 and int(origin.indices.max()) < len(images))
    if fits and origin.indices is not None:
        images = take(images, origin.indices.tolist())
    if not fits or zlib.crc32(images.targets.tobytes()) != what.checksum:
        raise DataError(
            f"the data {origin.data} here is not that of the first process",
            hint="Give every computer a copy of the same data, at the same place",
        )
    return images


@lru_cache(maxsize=2)
def _dataset(name: str, seed: int) -> Dataset:
    return load_dataset(name, seed=seed)
