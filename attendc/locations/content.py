"""What a file or a folder hashes to, and a memo that spares reading a large data set twice."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attendc.data.built_in import BUILT_IN
from attendc.errors import AttendcError, DataError, OutputError
from attendc.files import cache_folder, replace_file, sha256

__all__ = ["content_hash", "data_hash", "memo_path"]

_LAYOUT = 1
_SETTLED_S = 2.0
"""A file that changed so short a time ago could change again without another time stamp: it is not remembered."""

Stamp = tuple[int, int, int, int]
"""Size, time of change of the content and of the node in ns, and inode: the same while the content is."""


def content_hash(
    path: Path, *, memo: Path | None = None, remember: bool = True, error: type[AttendcError] = DataError
) -> str:
    """Return the sha256 of a file; of a folder, that of its sorted relative names and of what stands below each.

    Hidden files count, and empty folders too, since a data set may be read from either. Links are followed.
    `memo` is a file of our own that keeps the digests; it is made anew where it is damaged, and written if `remember`.

    Raises:
        AttendcError: of the type `error` if something cannot be read.
    """
    known = _read_memo(memo)
    seen: dict[str, tuple[Stamp, str]] = {}
    try:
        digest = _folder_hash(path, known, seen) if path.is_dir() else _file_hash(path, "", known, seen)
    except OSError as e:
        raise error(f"cannot read {e.filename or path}: {e.strerror or e}", hint="Check its permissions") from e
    if memo is not None and remember and seen != known:
        _write_memo(memo, seen)
    return digest


def data_hash(name: str, *, remember: bool = True) -> str:
    """Return the hash of the data that `--data NAME` means; the empty text if it is not there.

    What was remembered of its files is looked up; what is new is remembered too, if so asked.

    Raises:
        DataError: if something cannot be read.
    """
    if name in BUILT_IN:
        return content_hash(BUILT_IN[name])
    path = Path(name)
    return content_hash(path, memo=memo_path(path), remember=remember) if path.exists() else ""


def memo_path(path: Path) -> Path:
    """Return where the digests of what is at `path` are kept."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


def _folder_hash(folder: Path, known: dict[str, tuple[Stamp, str]], seen: dict[str, tuple[Stamp, str]]) -> str:
    whole = hashlib.sha256()
    for path, name in sorted(_walk(folder, "", ()), key=lambda pair: os.fsencode(pair[1])):
        # Of folders, links that lead nowhere, sockets and the like, the name alone counts.
        told = _file_hash(path, name, known, seen) if path.is_file() else ""
        whole.update(os.fsencode(name) + b"\0" + told.encode() + b"\n")
    return whole.hexdigest()


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, str]]:
    """Yield (path, relative name) of all below; names of folders end in a slash, and no loop is followed."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in folder.iterdir():
        name = f"{prefix}{path.name}"
        if path.is_dir():
            yield path, f"{name}/"
            yield from _walk(path, f"{name}/", (*above, here))
        else:
            yield path, name


def _file_hash(path: Path, name: str, known: dict[str, tuple[Stamp, str]], seen: dict[str, tuple[Stamp, str]]) -> str:
    stamp = _stamp(path)
    before, digest = known.get(name, (None, ""))
    if before != stamp:
        started = time.time()
        digest = sha256(path)
        if _stamp(path) != stamp or started - max(stamp[1], stamp[2]) / 1e9 < _SETTLED_S:
            return digest
    seen[name] = (stamp, digest)
    return digest


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read_memo(memo: Path | None) -> dict[str, tuple[Stamp, str]]:
    """Return what was remembered; nothing if the memo is missing or damaged, and all is read once more."""
    if memo is None:
        return {}
    try:
        head, body = memo.read_text(encoding="utf-8").split("\n", 1)
        if head != _head(body):
            return {}
        return {name: ((*stamp,), digest) for name, (stamp, digest) in json.loads(body).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_memo(memo: Path, seen: dict[str, tuple[Stamp, str]]) -> None:
    body = json.dumps(seen)
    # In a cache that cannot be written the next look only takes as long as this one.
    with suppress(OutputError), replace_file(memo) as beside:
        beside.write_text(f"{_head(body)}\n{body}", encoding="utf-8")


def _head(body: str) -> str:
    return f"{_LAYOUT} {hashlib.sha256(body.encode()).hexdigest()}"
