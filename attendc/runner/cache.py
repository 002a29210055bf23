"""The cache of stages: folders on disk by the key of what decides their content.

```
ROOT/entries/KEY/entry.json, files/...    finished, and never changed again
ROOT/work/KEY/                            what a stage that was stopped goes on from
ROOT/tmp/KEY.RANDOM/                      being filled; without the lock of KEY, a leftover
ROOT/trash/RANDOM/                        moved aside, being deleted
ROOT/locks/KEY                            exclusive: builds or removes KEY; shared: reads it
```

How to use it, here or with `no_cache()` for `--no-cache`:

```
with cache.reading(key) as entry: ...          # None, or safe from `prune` inside
with cache.building(key) as building:          # waits while another process builds the same
    entry = cache.find(key)                    # it may have been finished meanwhile
    if entry is None:
        ...                                    # fill building.folder, keep resume states in building.work
        entry = building.commit({"step": "qat"})
    entry.copy_to(folder)                      # safe here too
```
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.errors import InternalError, OutputError
from attendc.runner.cache_entry import DamagedError, Entry, mark_used, read_entry, read_record, sync, write_entry
from attendc.runner.cache_key import stage_key
from attendc.runner.cache_lock import locked
from attendc.runner.cache_prune import EntryInfo, Pruned, list_entries, prune_cache

__all__ = ["Building", "Entry", "EntryInfo", "Pruned", "StageCache", "no_cache", "stage_key"]

_HINT = "Set ATTENDC_CACHE to a folder that can be written, or use --no-cache"
_FULL_HINT = "Free some space, or set ATTENDC_CACHE to a folder on another disk"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Building:
    """A stage that is being made, under the lock of its key.

    Attributes:
        work: a folder that outlives a kill, for states to go on from; `commit` removes it.
        folder: empty; what lies in it at `commit` becomes the entry's files.
        commit: makes it the entry, whole or not at all. `meta` is JSON and says what the stage told, `step` among it.
    """

    work: Path
    folder: Path
    commit: Callable[[dict[str, Any]], Entry]


class StageCache:
    """Finished stages below a folder, safe for several processes and for kill -9 at any moment.

    Attributes:
        root: `cache_folder() / "stages"`.
        say: is told what is waited for and what was damaged.
    """

    def __init__(self, root: Path, *, say: Callable[[str], None] = lambda _: None, hint: str = _HINT) -> None:
        """Make nothing yet; `hint` is what to do where `root` cannot be written."""
        self.root = root
        self.say = say
        self._hint = hint
        self._held: dict[str, int] = {}  # key -> the thread that has its lock
        self._read: Counter[tuple[str, int]] = Counter()  # (key, thread) -> how often it reads now

    def find(self, key: str) -> Entry | None:
        """Return the entry if every file has its sha256. A damaged one is removed, which `say` is told."""
        with suppress(DamagedError), self._errors(strict=True):
            return self._look(key)
        self._drop_damaged(key)
        return None

    @contextmanager
    def reading(self, key: str) -> Iterator[Entry | None]:
        """Yield the entry, or None; inside, nobody removes its files."""
        entry = self.find(key)
        if entry is None or self._is_mine(key):
            yield entry
            return
        waiting = locked(self._lock(key), shared=True, on_wait=lambda: self._say_waiting(key))
        reader = (key, threading.get_ident())
        with self._errors(strict=False), waiting:
            self._read[reader] += 1
            try:
                yield entry if self._still_has(entry) else None
            finally:
                self._read[reader] -= 1

    @contextmanager
    def building(self, key: str) -> Iterator[Building]:
        """Hold the key's lock and yield what to fill; ask `find` again inside.

        Raises:
            OutputError: if the cache cannot be written, or the disk is full.
        """
        with self._errors(strict=False), self.exclusive(key, wait=True):
            made = self.root / "tmp" / f"{key}.{uuid.uuid4().hex}"
            work = self._work(key)
            try:
                with self._errors(strict=True):
                    (made / "files").mkdir(parents=True)
                    work.mkdir(parents=True, exist_ok=True)
                yield Building(work, made / "files", lambda meta: self._commit(key, made, meta))
            finally:
                shutil.rmtree(made, ignore_errors=True)
                with suppress(OSError):  # kept where something is in it
                    work.rmdir()

    @contextmanager
    def exclusive(self, key: str, *, wait: bool) -> Iterator[bool]:
        """Hold the key's lock, if it is free or may be waited for, and yield whether it is held."""
        if self._is_mine(key):
            if wait:
                raise InternalError(f"the stage {key[:12]} is being made by this thread already")
            yield False
            return
        if wait and self._read[key, threading.get_ident()]:
            raise InternalError(f"the stage {key[:12]} is being read by this thread, which would wait for itself")
        lock = self._lock(key)
        with self._errors(strict=True):
            lock.parent.mkdir(parents=True, exist_ok=True)
        on_wait = (lambda: self._say_waiting(key)) if wait else None
        with self._errors(strict=False), locked(lock, on_wait=on_wait) as got:
            if not got:
                yield False
                return
            self._held[key] = threading.get_ident()
            try:
                yield True
            finally:
                del self._held[key]
                if not self._entry(key).exists() and not self._work(key).exists():
                    with suppress(OSError):
                        lock.unlink()

    def entries(self) -> list[EntryInfo]:
        """Return what the cache holds, the least recently used first, without reading the files."""
        with self._errors(strict=True):
            return list_entries(self)

    def prune(self, *, older_than_s: float | None, keep_bytes: int | None, everything: bool) -> Pruned:
        """Remove what was used last before `older_than_s`, then the least recently used beyond `keep_bytes`, or all.

        Damaged entries and leftovers of killed processes always go; what another process uses always stays.

        Raises:
            OutputError: if the cache may not be changed.
        """
        with self._errors(strict=True):
            return prune_cache(self, older_than_s=older_than_s, keep_bytes=keep_bytes, everything=everything)

    def discard(self, folder: Path) -> None:
        """Remove a folder of the cache; from one moment to the next it is gone for everybody."""
        aside = self.root / "trash" / uuid.uuid4().hex
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _look(self, key: str) -> Entry | None:
        folder = self._entry(key)
        if not folder.exists():
            return None
        entry = read_entry(folder, key)
        mark_used(folder)
        return entry

    def _drop_damaged(self, key: str) -> None:
        if self._is_mine(key):
            self._drop(key)
            return
        with self.exclusive(key, wait=False) as got:
            if got:  # else its holder removes it or makes it anew
                self._drop(key)

    def _drop(self, key: str) -> None:
        """Remove the entry if it is damaged now that nobody else can change it."""
        try:
            self._look(key)
        except DamagedError as e:
            self.say(f"the cached stage {key[:12]} is damaged and will be made again: {e}")
            with suppress(OSError):  # in a cache that cannot be written; `building` will tell
                self.discard(self._entry(key))

    def _commit(self, key: str, made: Path, meta: dict[str, Any]) -> Entry:
        if not made.exists():
            raise InternalError(f"the stage {key[:12]} was committed already, or its folder has been removed")
        with self._errors(strict=True):
            write_entry(made, key, meta)
            target = self._entry(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                self.discard(target)
            made.rename(target)
            sync(target.parent)
            self.discard(self._work(key))
        return read_record(target, key).entry

    def _still_has(self, entry: Entry) -> bool:
        """Return whether it was neither removed nor made anew, since its lock was not held while it was checked."""
        try:
            return read_record(self._entry(entry.key), entry.key).entry == entry
        except DamagedError:
            return False

    @contextmanager
    def _errors(self, *, strict: bool) -> Iterator[None]:
        """Turn errors of the file system into ours: if not `strict`, only a full disk or no permission in the cache.

        The rest may be a bug of the stage's. An error of writing to an open file knows no name; it is taken as ours.
        """
        try:
            yield
        except OSError as e:
            full = e.errno in _FULL
            here = e.filename is None or str(e.filename).startswith(str(self.root))
            if not (strict or (here and (full or e.errno in _REFUSED))):
                raise
            hint = _FULL_HINT if full and self._hint == _HINT else self._hint
            raise OutputError(f"cannot use the cache of stages in {self.root}: {e.strerror or e}", hint=hint) from e

    def _is_mine(self, key: str) -> bool:
        return self._held.get(key) == threading.get_ident()

    def _say_waiting(self, key: str) -> None:
        self.say(f"another process is busy with the stage {key[:12]}; waiting for it")

    def _entry(self, key: str) -> Path:
        return self.root / "entries" / key

    def _work(self, key: str) -> Path:
        return self.root / "work" / key

    def _lock(self, key: str) -> Path:
        return self.root / "locks" / key


@contextmanager
def no_cache(*, say: Callable[[str], None] = lambda _: None, inside: Path | None = None) -> Iterator[StageCache]:
    """Yield an empty cache that is gone afterwards, in `inside` or the system's temporary folder."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="attendc-stages-", dir=inside, ignore_cleanup_errors=True)
    except OSError as e:
        place = inside or tempfile.gettempdir()
        raise OutputError(f"cannot write in {place}: {e.strerror or e}", hint="Set TMPDIR to another folder") from e
    with folder as name:
        yield StageCache(Path(name), say=say, hint="Free some space, or set TMPDIR to a folder on another disk")
