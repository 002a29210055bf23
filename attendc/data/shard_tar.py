"""What is in one shard: a tar whose samples are an image and a label, by the naming of webdataset.

Files that share their name up to its first dot, one after the other, are a sample: `KEY.jpg`, `KEY.png` or `KEY.webp`
with `KEY.cls` (the number of the class as text) or `KEY.json` (with "label"). Other files are passed over.
"""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from attendc.data.shard_index import Shard
from attendc.errors import DataError
from attendc.files import sha256

__all__ = ["scanned"]

_IMAGES = {"jpg", "jpeg", "png", "webp"}
_LABELS = {"cls", "json"}
_AGAIN = "Copy it again; it must be uncompressed"
_END = bytes(1024)
"""Two blocks of zeros end a tar (POSIX.1-1988, ustar)."""


def scanned(path: Path) -> Shard:
    """Return where the images of a tar lie and their labels.

    Raises:
        DataError: if it is not a whole, uncompressed tar, or a sample lacks its image or its label.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            _check_end(tar, path)
            rows = [_sample(tar, path, key, members) for key, members in _samples(tar)]
        digest, size = sha256(path), path.stat().st_size
    except (tarfile.TarError, OSError, EOFError) as e:
        raise DataError(
            f"{path} is not a tar that can be read: {e}", hint="Copy it again; it must be uncompressed"
        ) from e
    if not rows:
        raise DataError(
            f"{path} holds no images", hint="Its samples are KEY.jpg (.png, .webp) with KEY.cls or KEY.json"
        )
    offsets, sizes, targets = (np.asarray(column, np.int64) for column in zip(*rows, strict=True))
    return Shard(path.name, size, digest, offsets, sizes, targets)


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Check that what follows the last file is the end, where tarfile takes whatever it cannot read for it."""
    tar.getmembers()
    with path.open("rb") as file:
        file.seek(tar.offset)
        if file.read(len(_END)) != _END:
            raise DataError(f"{path} is a damaged tar: it ends, or cannot be read, at byte {tar.offset}", hint=_AGAIN)


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, list[tuple[str, tarfile.TarInfo]]]]:
    from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

    named = ((*base_plus_ext(member.name), member) for member in tar if member.isreg())
    known = ((key, suffix.lower(), member) for key, suffix, member in named if key is not None)
    for key, group in itertools.groupby(known, key=lambda entry: entry[0]):
        members = [(suffix, member) for _, suffix, member in group if suffix in _IMAGES | _LABELS]
        if members:
            yield key, members


def _sample(
    tar: tarfile.TarFile, path: Path, key: str, members: list[tuple[str, tarfile.TarInfo]]
) -> tuple[int, int, int]:
    """Return (offset, bytes, label)."""
    images = [member for suffix, member in members if suffix in _IMAGES]
    labels = [(suffix, member) for suffix, member in members if suffix in _LABELS]
    if len(images) != 1 or not labels:
        raise DataError(
            f"the sample {key} of {path} has {len(images)} images and {len(labels)} labels",
            hint="One image, and KEY.cls or KEY.json beside it, are due",
        )
    suffix, member = sorted(labels, key=lambda entry: entry[0])[0]  # .cls before .json
    content = tar.extractfile(member)
    assert content is not None  # it is a regular file
    return images[0].offset_data, images[0].size, _label(content.read(), suffix, f"{key}.{suffix} of {path}")


def _label(content: bytes, suffix: str, shown: str) -> int:
    try:
        label = int(str(content.decode() if suffix == "cls" else json.loads(content)["label"]))
    except (ValueError, KeyError, TypeError) as e:
        raise DataError(
            f"{shown} is no label: {content[:40]!r}", hint="The number of a class, from 0 on, is due"
        ) from e
    if label < 0:
        raise DataError(f"{shown} has the label {label}", hint="Classes are counted from 0")
    return label
