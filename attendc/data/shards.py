"""Image data in shards: tars of webdataset with an index beside them, on this machine or elsewhere.

`--data` names them by a folder that holds an `index.json`, by that file, or by the tars themselves, in the braces of
the shell or with a star: `shards/train-{000000..000127}.tar`. Each may be a URI. Tars that are named choose among those
of the index: of a split of which none is named all are taken.

Shards of this machine are read image by image, in any order. Those of elsewhere come whole, one after the other, and
their images stand in the order in which they are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attendc.context import Context
from attendc.data.decode import decoded
from attendc.data.images import Images, Shards
from attendc.data.shard_index import INDEX, Shard, ShardIndex, Split, read_index
from attendc.data.shard_store import Opener, check_local, local_opener, remote_opener
from attendc.errors import DataError
from attendc.locations.fetch import fetch
from attendc.locations.remote import file_system, remote_errors
from attendc.locations.uri import is_uri, local_path, redacted, scheme_of

__all__ = ["Place", "check_classes", "load_shards", "named_shards", "shards_at", "shards_hash"]


@dataclass(frozen=True)
class Place:
    """Where shards lie: a path or a URI without a slash at its end, and the tars that were named, if any were."""

    folder: str
    named: tuple[str, ...] = ()

    @property
    def index(self) -> str:
        """Return where the index is."""
        return f"{self.folder}/{INDEX}"


def shards_at(name: str) -> Place | None:
    """Return the shards that `--data NAME` means; None if it means something else.

    Raises:
        DataError: if tars of several folders are named, or a place elsewhere is not reached.
    """
    path = local_path(name)
    name = name if path is None else str(path)
    folder, _, last = name.rstrip("/").rpartition("/")
    if last == INDEX:
        return Place(folder or ".")
    if last.endswith(".tar"):
        return named_shards(name)
    whole = name.rstrip("/") or name
    if path is not None:
        return Place(whole) if (path / INDEX).is_file() else None
    if scheme_of(name) in ("http", "https"):  # which has no folders but those that the address says to be one
        return Place(whole) if name.endswith("/") else None
    system, remote = file_system(name, DataError)
    with remote_errors(name, DataError, "read"):
        return Place(whole) if system.exists(f"{remote.rstrip('/')}/{INDEX}") else None


def shards_hash(place: Place) -> str:
    """Return the sha256 that tells which images are meant: of the index, which holds those of the tars, and the names.

    Raises:
        DataError: if the index cannot be had.
    """
    digest = hashlib.sha256(_index_file(place).read_bytes())
    digest.update("".join(f"\0{name}" for name in place.named).encode())
    return digest.hexdigest()


def load_shards(name: str, place: Place) -> tuple[Images, Images | None, tuple[str, ...]]:
    """Return the training images, the test images if there are any, and the labels.

    Raises:
        DataError: if the index or a shard is missing, damaged or of other data, or a class has no training images.
    """
    index = read_index(_index_file(place), redacted(place.index))
    splits = _chosen(index, place)
    check_classes(splits["train"].targets, index.labels, redacted(name))
    shards = [shard for split in splits.values() for shard in split.shards]
    if is_uri(place.folder):
        opener = remote_opener(place.folder, shards)
    else:
        check_local(Path(place.folder), shards)
        opener = local_opener(Path(place.folder))
    images = {key: _images(split, opener, elsewhere=is_uri(place.folder)) for key, split in splits.items()}
    return images["train"], images.get("test"), index.labels


def named_shards(name: str) -> Place:
    """Return the tars that a path or a URI in braces means; a name may have stars.

    Raises:
        DataError: if they lie in several folders, or the braces do not match.
    """
    from webdataset.shardlists import expand_urls  # type: ignore[import-untyped] # it loads torch

    try:
        urls = expand_urls(name)
    except (ValueError, AssertionError) as e:  # braces without their like, a variable that is not set
        raise DataError(f"the shards {redacted(name)} cannot be listed: {e}", hint="train-{000000..000127}.tar") from e
    folders = {url.rpartition("/")[0] for url in urls}
    if len(folders) != 1:
        raise DataError(f"the shards {redacted(name)} lie in {len(folders)} folders", hint="Put them into one")
    return Place(folders.pop() or ".", tuple(url.rpartition("/")[2] for url in urls))


def _index_file(place: Place) -> Path:
    if is_uri(place.folder):
        return fetch(place.index, error=DataError, context=Context())
    path = Path(place.index)
    if not path.is_file():
        raise DataError(
            f"the shards in {place.folder} have no {INDEX}", hint=f"attendc data index '{place.folder}/*.tar'"
        )
    return path


def _chosen(index: ShardIndex, place: Place) -> dict[str, Split]:
    known = [shard.name for split in index.splits.values() for shard in split.shards]
    named: set[str] = set()
    for name in place.named:
        found = matching(known, name)
        if not found:
            raise DataError(
                f"{redacted(place.index)} does not know the shard {name}",
                hint="It is of other shards; make it anew: attendc data index",
            )
        named |= {*found}
    return {name: _those(split, named) for name, split in index.splits.items()}


def _those(split: Split, named: set[str]) -> Split:
    """Return the split with the named shards only; whole if none of them is."""
    taken = np.asarray([shard.name in named for shard in split.shards])
    if taken.all() or not taken.any():
        return split
    stays = np.repeat(taken, [len(shard.targets) for shard in split.shards])
    order = (np.cumsum(stays) - 1)[split.order[stays[split.order]]]
    return Split(tuple(shard for shard, stay in zip(split.shards, taken, strict=True) if stay), order)


def check_classes(targets: NDArray[np.int64], labels: tuple[str, ...], name: str) -> None:
    """Check that there are training images of each class; `targets` has the class of each.

    Raises:
        DataError: if not; it calls the data `name`.
    """
    counts = np.bincount(targets, minlength=len(labels))
    empty = [label for label, count in zip(labels, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"{name} has no training images of {len(empty)} of {len(labels)} classes: {', '.join(empty[:5])}",
            hint="Add some, or leave these classes out of the data",
        )


def _images(split: Split, opener: Opener, *, elsewhere: bool) -> Images:
    shard = np.repeat(np.arange(len(split.shards)), [len(one.targets) for one in split.shards])
    number = np.concatenate([np.arange(len(one.targets)) for one in split.shards])
    order = np.arange(len(shard)) if elsewhere else split.order
    shard, number = shard[order], number[order]

    def read(indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        contents = _contents(split.shards, opener, shard[indices], number[indices])
        names = [f"{number[i]} of {split.shards[shard[i]].name}" for i in indices]
        return decoded(contents, names, hint="Replace it and write the shards again: attendc data shard")

    def encoded(index: int) -> bytes:
        return _contents(split.shards, opener, shard[[index]], number[[index]])[0]

    def bring(which: int) -> None:
        opener(split.shards[which]).close()

    return Images(read, split.targets[order], encoded, Shards(shard, bring) if elsewhere else None)


def _contents(
    shards: Sequence[Shard], opener: Opener, shard: NDArray[np.int64], number: NDArray[np.int64]
) -> list[bytes]:
    """Return the bytes of images by their shard and their number in it; each shard is opened once."""
    contents = [b""] * len(shard)
    for which in np.unique(shard):
        one = shards[which]
        members = np.flatnonzero(shard == which)
        with opener(one) as file:
            for at in sorted(members, key=lambda m: one.offsets[number[m]]):
                file.seek(int(one.offsets[number[at]]))
                contents[at] = file.read(int(one.sizes[number[at]]))
    return contents
