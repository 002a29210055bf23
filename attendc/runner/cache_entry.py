"""A finished stage on disk: its files, and entry.json, which is written last and says what every file must hash to."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.errors import InternalError, OutputError
from attendc.files import replace_file, sha256

__all__ = [
    "DamagedError",
    "Entry",
    "Record",
    "last_used",
    "mark_used",
    "read_entry",
    "read_record",
    "stats_below",
    "sync",
    "write_entry",
]

LAYOUT = 1
"""Of entry.json and the folder; an entry of another layout counts as damaged."""

_NAME = "entry.json"
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""Any other error of reading (too many open files, a disk that fails) says nothing about the entry."""


class DamagedError(Exception):
    """An entry is not what was written; the text says how. It stays inside the cache."""


@dataclass(frozen=True)
class Entry:
    """A finished stage.

    Attributes:
        key: 64 hexadecimal digits.
        folder: holds the files.
        meta: JSON, what the stage told.
        files: name relative to `folder` -> sha256.
    """

    key: str
    folder: Path
    meta: dict[str, Any]
    files: dict[str, str]

    def copy_to(self, folder: Path, names: Iterable[str] | None = None) -> None:
        """Copy the files, or those named, each whole or not at all; what arrives has its sha256.

        Raises:
            OutputError: if it cannot be written, or the entry has been removed or changed since it was found.
        """
        for name in self.files if names is None else names:
            if name not in self.files:
                raise InternalError(f"the cached stage {self.key[:12]} has no file {name!r}, only {sorted(self.files)}")
            source = self.folder / name
            with replace_file(folder / name) as beside:
                try:
                    shutil.copyfile(source, beside)
                except _MISSING as e:
                    raise self._gone(name) from e
                if sha256(beside) != self.files[name]:
                    raise self._gone(name)

    def _gone(self, name: str) -> OutputError:
        return OutputError(
            f"{name} of the cached stage {self.key[:12]} was removed or changed meanwhile",
            hint="Run it again; the stage will be made anew",
        )


@dataclass(frozen=True)
class Record:
    """What entry.json holds.

    Attributes:
        entry: the stage.
        made: seconds since 1970.
        size: of all files, in bytes.
    """

    entry: Entry
    made: float
    size: int


def write_entry(made: Path, key: str, meta: dict[str, Any]) -> None:
    """Write entry.json beside `made`/files, and all of it to the disk.

    Raises:
        InternalError: if `meta` is no JSON, or something in the folder is neither file nor folder.
        OSError: if it cannot be written.
    """
    files, size = {}, 0
    for path in sorted((made / "files").rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InternalError(f"a stage left {path.name}, which is neither a file nor a folder")
        sync(path)
        if path.is_file():
            files[path.relative_to(made / "files").as_posix()] = sha256(path)
            size += path.stat().st_size
    try:
        body = _dump({"key": key, "made": time.time(), "size": size, "files": files, "meta": meta})
    except (TypeError, ValueError) as e:
        raise InternalError(f"what the stage {key[:12]} told is no JSON: {e}") from e
    # The digest in front notices a change of any byte of what follows.
    (made / _NAME).write_text(_dump({"layout": LAYOUT, "sha256": _digest(body)}) + "\n" + body + "\n", encoding="ascii")
    for path in (made / _NAME, made / "files", made):
        sync(path)


def read_record(folder: Path, key: str) -> Record:
    """Read entry.json and look at no other file.

    Raises:
        DamagedError: if it is missing, truncated, changed, of another layout or of another key.
    """
    try:
        head, body, *_ = (folder / _NAME).read_text(encoding="ascii").split("\n")
        header = json.loads(head)
        if header["layout"] != LAYOUT:
            raise DamagedError(f"its layout is {header['layout']!r}, not {LAYOUT}")
        if header["sha256"] != _digest(body):
            raise DamagedError(f"{_NAME} was changed")
        told = json.loads(body)
    except _MISSING as e:
        raise DamagedError(f"{_NAME} is missing") from e
    except (ValueError, TypeError, KeyError) as e:
        raise DamagedError(f"{_NAME} cannot be read ({e})") from e
    if told["key"] != key:
        raise DamagedError(f"it belongs to {told['key'][:12]}")
    entry = Entry(key, folder / "files", told["meta"], told["files"])
    return Record(entry, told["made"], told["size"])


def read_entry(folder: Path, key: str) -> Entry:
    """Read entry.json and check every file.

    Raises:
        DamagedError: if anything is not what was written.
    """
    entry = read_record(folder, key).entry
    for name, expected in entry.files.items():
        try:
            found = sha256(entry.folder / name)
        except _MISSING as e:
            raise DamagedError(f"{name} is missing") from e
        if found != expected:
            raise DamagedError(f"{name} was changed")
    return entry


def mark_used(folder: Path) -> None:
    """Make now the time of last use: that of entry.json."""
    with suppress(OSError):  # of another user's
        os.utime(folder / _NAME)


def last_used(folder: Path) -> float:
    """Return the time of last use of an entry, or of the last change in a folder of work, in seconds since 1970."""
    with suppress(FileNotFoundError):
        return (folder / _NAME).stat().st_mtime
    return max((s.st_mtime for s in stats_below(folder)), default=0.0)


def stats_below(folder: Path) -> Iterator[os.stat_result]:
    """Yield what the file system says of `folder` and all below it, passing over what is removed meanwhile."""
    for parent, _, names in os.walk(folder):  # unlike rglob, it bears folders that vanish
        for path in (parent, *(os.path.join(parent, n) for n in names)):
            with suppress(FileNotFoundError):
                yield os.stat(path, follow_symlinks=False)


def sync(path: Path) -> None:
    """Have the kernel write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dump(value: object) -> str:
    return json.dumps(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
