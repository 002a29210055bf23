"""The index beside shards: which image lies where in which tar, of which class, and what each tar hashes to.

```
{"attendc_shards": 1, "labels": ["coat", ...],
 "splits": {"train": {"counts": [images of each class], "order": [...], "shards": [
     {"name": "train-000000.tar", "bytes": 1, "sha256": "...", "offsets": [...], "sizes": [...], "targets": [...]}]},
  "test": {...}}}
```

Image i of a split is number `order[i]` of its shards' images; without an order they come as they are stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.errors import DataError

__all__ = ["INDEX", "Shard", "ShardIndex", "Split", "read_index", "write_index"]

INDEX = "index.json"
SPLITS = ("train", "test")
_VERSION_KEY, _VERSION = "attendc_shards", 1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """One tar: its name and size in bytes, and int64 (N,) for its images: where each begins, its bytes, its class."""

    name: str
    bytes: int
    sha256: str
    offsets: Ints
    sizes: Ints
    targets: Ints


@dataclass(frozen=True)
class Split:
    """The shards of a split, and the order (N,) of their images in it."""

    shards: tuple[Shard, ...]
    order: Ints

    @property
    def targets(self) -> Ints:
        """Return int64 (N,), the class of each image as they are stored."""
        return np.concatenate([shard.targets for shard in self.shards])


@dataclass(frozen=True)
class ShardIndex:
    """A name per class, and the splits `train` and maybe `test`."""

    labels: tuple[str, ...]
    splits: Mapping[str, Split]


def write_index(path: Path, index: ShardIndex) -> None:
    """Write an index as JSON; what is the same index is the same bytes."""
    splits = {name: _split_json(split, len(index.labels)) for name, split in index.splits.items()}
    told = {_VERSION_KEY: _VERSION, "labels": list(index.labels), "splits": splits}
    path.write_text(json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


def read_index(path: Path, shown: str) -> ShardIndex:
    """Read an index; `shown` is what errors call it.

    Raises:
        DataError: if it is none, contradicts itself, or has labels outside of its classes.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told[_VERSION_KEY] != _VERSION:
            raise DataError(f"{shown} has version {told[_VERSION_KEY]!r}, known is {_VERSION}", hint=_AGAIN)
        labels = tuple(str(label) for label in told["labels"])
        splits = {name: _split(told["splits"][name], len(labels), shown) for name in SPLITS if name in told["splits"]}
        return ShardIndex(labels, {"train": splits["train"], **splits})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as e:
        raise DataError(f"{shown} is no index of shards: {type(e).__name__}: {e}", hint=_AGAIN) from e


_AGAIN = "Make it anew: attendc data index"


def _split_json(split: Split, classes: int) -> dict[str, Any]:
    stored = np.array_equal(split.order, np.arange(len(split.order)))
    shards = [
        {"name": s.name, "bytes": s.bytes, "sha256": s.sha256}
        | {key: getattr(s, key).tolist() for key in ("offsets", "sizes", "targets")}
        for s in split.shards
    ]
    counts = np.bincount(split.targets, minlength=classes).tolist()
    return {"counts": counts} | ({} if stored else {"order": split.order.tolist()}) | {"shards": shards}


def _split(told: dict[str, Any], classes: int, shown: str) -> Split:
    shards = tuple(_shard(one, classes, shown) for one in told["shards"])
    count = sum(len(shard.targets) for shard in shards)
    order = np.asarray(told.get("order", range(count)), np.int64)
    split = Split(shards, order)
    whole = count > 0 and np.array_equal(np.sort(order), np.arange(count))
    if not whole or np.bincount(split.targets, minlength=classes).tolist() != told["counts"]:
        raise DataError(
            f"{shown} contradicts itself: its order or counts are not those of its {count} images", hint=_AGAIN
        )
    return split


def _shard(told: dict[str, Any], classes: int, shown: str) -> Shard:
    name = str(told["name"])
    ints = [np.asarray(told[key], np.int64) for key in ("offsets", "sizes", "targets")]
    shard = Shard(name, int(told["bytes"]), str(told["sha256"]), *ints)
    if PurePosixPath(name).name != name or len({a.shape for a in ints}) != 1 or ints[0].ndim != 1 or not len(ints[0]):
        raise DataError(f"{shown} contradicts itself about the shard {name!r}", hint=_AGAIN)
    outside = np.flatnonzero((shard.targets < 0) | (shard.targets >= classes))
    if len(outside):
        label = int(shard.targets[outside[0]])
        raise DataError(
            f"image {outside[0]} of {name} has the label {label}, {shown} has classes 0..{classes - 1}",
            hint="Correct the labels, or name all classes with --labels",
        )
    if shard.offsets.min() < 0 or shard.sizes.min() < 0 or int((shard.offsets + shard.sizes).max()) > shard.bytes:
        raise DataError(f"{shown} has an image beyond the {shard.bytes} bytes of {name}", hint=_AGAIN)
    return shard
