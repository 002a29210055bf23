"""The jobs of `attendc data`: shards of any data set, and an index of shards that others made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attendc.amounts import amount
from attendc.context import Context
from attendc.data.images import MIXED
from attendc.data.shard_index import INDEX, ShardIndex, Split, write_index
from attendc.data.shard_tar import scanned
from attendc.data.shard_write import write_shards
from attendc.data.shards import check_classes, named_shards
from attendc.data.sources import label_names, load_dataset
from attendc.errors import DataError, OutputError, UsageError
from attendc.files import check_writable, replace_file, replace_folder
from attendc.locations import is_uri, redacted

__all__ = ["IndexRequest", "ShardRequest", "index_shards", "shard_data"]

_SORTED = 0.5
"""Shards that hold no larger part of the classes on average are no samples of the whole."""


@dataclass(frozen=True)
class ShardRequest:
    """Attributes:
    data: what `--data` takes.
    output: folder to make.
    shard_bytes: of images after which a shard is closed, such as 256M.
    shard_images: most images of a shard.
    force: replace a folder of shards.
    """

    data: str
    output: Path
    shard_bytes: str = "256M"
    shard_images: int = 100_000
    force: bool = False


@dataclass(frozen=True)
class IndexRequest:
    """Attributes:
    train: tars of one folder, in the braces of the shell.
    test: the same of the test images; empty: a fifth of the training images is split off when they are used.
    labels: a file with the name of a class a line; None: they are named by their numbers.
    force: replace the index.
    """

    train: str
    test: str = ""
    labels: Path | None = None
    force: bool = False


def shard_data(request: ShardRequest, context: Context) -> dict[str, Any]:
    """Write the shards of a data set and their index, all or nothing, and return a summary.

    Raises:
        UsageError: if `shard_bytes` is no amount.
        OutputError: if the folder exists and may not be replaced, or cannot be written.
        DataError: if the data cannot be read, or a class has no training images.
    """
    output, most_bytes = request.output, int(amount(request.shard_bytes, "shard-bytes"))
    if output.exists() and not request.force:
        raise OutputError(f"{output} exists already", hint="Add --force to replace it, or choose -o")
    check_writable(output / INDEX)
    dataset = load_dataset(request.data, seed=context.seed)
    with replace_folder(output, INDEX) as beside:
        index = write_shards(dataset, beside, context, most_bytes=most_bytes, most_images=request.shard_images)
    return _summary(output, index)


def index_shards(request: IndexRequest, context: Context) -> dict[str, Any]:
    """Look into every tar, write the index beside them, and return a summary.

    Raises:
        OutputError: if there is an index that may not be replaced, or it cannot be written.
        DataError: if a tar is missing or damaged, a label is not one of the classes, or a class has no images.
    """
    folder, names = _tars(request.train)
    named = {"train": names}
    if request.test:
        beside, named["test"] = _tars(request.test)
        if beside != folder:
            raise UsageError(f"the shards lie in {folder} and in {beside}", hint="Put them into one folder")
    path = folder / INDEX
    check_writable(path)
    if path.exists() and not request.force:
        raise OutputError(f"{path} exists already", hint="Add --force to replace it")
    with context.progress("reading shards", sum(map(len, named.values()))) as advance:
        splits = {}
        for split, tars in named.items():
            shards = []
            for tar in tars:
                shards.append(scanned(folder / tar))
                advance(1, tar)
            splits[split] = Split(tuple(shards), np.arange(sum(len(one.targets) for one in shards)))
    index = ShardIndex(_labels(request.labels, splits.values()), splits)
    _check(index, context)
    with replace_file(path) as new:
        write_index(new, index)
    return _summary(folder, index)


def _tars(pattern: str) -> tuple[Path, list[str]]:
    """Return the folder and the names of the tars that braces and stars mean, in order."""
    if is_uri(pattern):
        raise UsageError(
            f"{redacted(pattern)} lies elsewhere", hint="Make the index where the shards are, or copy them"
        )
    place = named_shards(pattern)
    folder = Path(place.folder)
    names = [n for one in place.named for n in (sorted(p.name for p in folder.glob(one)) if "*" in one else [one])]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise DataError(f"there is no shard {folder / missing[0] if missing else pattern}", hint="Check the name")
    return folder, names


def _labels(file: Path | None, splits: Iterable[Split]) -> tuple[str, ...]:
    count = 1 + max(int(split.targets.max()) for split in splits)
    return tuple(str(i) for i in range(count)) if file is None else label_names(file, count)


def _check(index: ShardIndex, context: Context) -> None:
    train = index.splits["train"]
    check_classes(train.targets, index.labels, "the shards")
    held = np.mean(
        [len(np.unique(shard.targets)) / min(len(index.labels), len(shard.targets)) for shard in train.shards]
    )
    if held <= _SORTED and len(train.shards) > 1:
        context.warn(
            f"a training shard holds {held:.0%} of the classes that it could: the images seem sorted by class, and"
            f" read from elsewhere they are mixed within {MIXED} shards only; attendc data shard writes mixed ones"
        )


def _summary(folder: Path, index: ShardIndex) -> dict[str, Any]:
    """Return what the command prints: per split its shards, images and bytes, and the images of each class."""
    splits = {
        name: {
            "shards": len(split.shards),
            "images": len(split.order),
            "bytes": sum(shard.bytes for shard in split.shards),
            "counts": np.bincount(split.targets, minlength=len(index.labels)).tolist(),
        }
        for name, split in index.splits.items()
    }
    return {"folder": str(folder), "index": str(folder / INDEX), "labels": list(index.labels), "splits": splits}
