"""Shards opened where they lie, or as copies in a cache that never holds more than a part of them.

```
CACHE/shards/SHA256.tar     a shard from elsewhere, whole and checked
CACHE/shards/SHA256.lock    held by whoever fetches it, so that the processes of one machine fetch it once
```
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from attendc.amounts import amount
from attendc.data.images import MIXED
from attendc.data.shard_index import Shard
from attendc.errors import DataError, OutputError
from attendc.files import cache_folder, replace_file, sha256
from attendc.locations.content import content_hash, memo_path
from attendc.locations.remote import file_system, remote_errors
from attendc.locations.uri import redacted

__all__ = ["Opener", "check_local", "local_opener", "remote_opener"]

Opener = Callable[[Shard], BinaryIO]
"""Opens a shard for reading, and waits until it is there."""

ROOM = "ATTENDC_SHARDS"
"""Environment variable: bytes of shards kept from elsewhere, for example 50G."""
_ROOM = "10G"
_LEAST = 3 * MIXED
"""So many shards are kept at least: those that are read, those that come, and those that are about to be needed."""
_WAITS = (1.0, 4.0)
"""Seconds before a shard is asked for again."""
_ELSEWHERE = "Set ATTENDC_CACHE to another folder"
_AGAIN = "Copy it again, or make the index anew: attendc data index"


def check_local(folder: Path, shards: Sequence[Shard]) -> None:
    """Check that the shards of a folder are those of its index; what was hashed before is remembered.

    Raises:
        DataError: if one is missing, or its content is another.
    """
    for shard in shards:
        path = folder / shard.name
        if not path.is_file():
            raise DataError(
                f"the shard {path} is missing", hint="Copy it there, or make the index anew: attendc data index"
            )
        size = path.stat().st_size
        digest = content_hash(path, memo=memo_path(path)) if size == shard.bytes else ""
        _check(str(path), shard, size, digest)


def local_opener(folder: Path) -> Opener:
    """Return what opens the shards of a folder."""

    def opened(shard: Shard) -> BinaryIO:
        try:
            return (folder / shard.name).open("rb")
        except OSError as e:
            raise DataError(
                f"the shard {folder / shard.name} cannot be read: {e.strerror}", hint="Copy it again"
            ) from e

    return opened


def remote_opener(folder: str, shards: Sequence[Shard]) -> Opener:
    """Return what opens shards below a URI: each is fetched when it is needed, and the least recently used ones go."""
    place = cache_folder() / "shards"
    room = max(int(amount(os.environ.get(ROOM, _ROOM), ROOM)), _LEAST * max(shard.bytes for shard in shards))

    def opened(shard: Shard) -> BinaryIO:
        path = place / f"{shard.sha256}.tar"
        while (file := _opened_copy(path)) is None:
            with _held(path.with_suffix(".lock")):
                if not path.exists():
                    _fetch(f"{folder}/{shard.name}", shard, path, room)
        return file

    return opened


def _opened_copy(path: Path) -> BinaryIO | None:
    """Open a shard in the cache, which is used now; None if it is not there, or was removed a moment ago."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise OutputError(f"cannot read {path}: {e.strerror}", hint=_ELSEWHERE) from e
    os.utime(file.fileno())
    return file


def _fetch(uri: str, shard: Shard, path: Path, room: int) -> None:
    """Fetch a shard, whose lock is held: whatever lies half-done beside it is of a process that was killed."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink(missing_ok=True)
    with ExitStack() as locks, replace_file(path) as beside:
        with remote_errors(uri, DataError, "read"):
            system, source = file_system(uri, DataError)
            _download(system, source, beside)
        size = beside.stat().st_size
        _check(redacted(uri), shard, size, sha256(beside) if size == shard.bytes else "")
        locks.enter_context(_held(path.with_name("room.lock")))  # until it has its place
        _make_room(path.parent, room - size)


def _download(system: Any, source: str, path: Path) -> Any:
    for wait in _WAITS:
        try:
            return system.get_file(source, str(path))
        except (FileNotFoundError, PermissionError):
            raise
        except Exception:  # noqa: BLE001 - every file system has errors of its own; the last try tells
            time.sleep(wait)
    return system.get_file(source, str(path))


def _check(shown: str, shard: Shard, size: int, digest: str) -> None:
    if digest == shard.sha256:
        return
    found, due = (f"{size} bytes", str(shard.bytes)) if size != shard.bytes else (f"sha256 {digest}", shard.sha256)
    raise DataError(
        f"the shard {shown} is damaged, or its index is of other shards: it has {found}, the index says {due}",
        hint=_AGAIN,
    )


def _make_room(place: Path, room: int) -> None:
    """Remove the shards that were not used for longest until `room` bytes are left."""
    found = []
    for path in place.glob("*.tar"):
        with suppress(OSError):  # another process has removed it
            found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= room:
            return
        path.unlink(missing_ok=True)
        total -= size


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock against all other threads and processes."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("wb")
    except OSError as e:
        raise OutputError(f"cannot write {lock}: {e.strerror}", hint=_ELSEWHERE) from e
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
