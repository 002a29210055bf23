"""What lies in the cache of stages, and removing a part of it."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attendc.runner.cache_entry import DamagedError, last_used, read_record, stats_below

if TYPE_CHECKING:
    from attendc.runner.cache import StageCache

__all__ = ["EntryInfo", "Pruned", "list_entries", "prune_cache"]


@dataclass(frozen=True)
class EntryInfo:
    """A line of `attendc cache list`.

    Attributes:
        key: 64 hexadecimal digits.
        step: of the recipe; empty where it was not finished.
        size: of its files and of its unfinished work, in bytes.
        made: seconds since 1970; of unfinished work the last change.
        last_used: seconds since 1970.
        state: `damaged` only where entry.json is; the files are checked when the entry is used.
    """

    key: str
    step: str
    size: int
    made: float
    last_used: float
    state: Literal["whole", "unfinished work", "damaged"]


@dataclass(frozen=True)
class Pruned:
    """Attributes:
    entries: that were removed.
    size: of all that was removed, leftovers of killed processes too, in bytes.
    busy: entries that stayed only because another process uses them.
    """

    entries: int
    size: int
    busy: int


def list_entries(cache: StageCache) -> list[EntryInfo]:
    """Return what the cache holds, the least recently used first."""
    keys = {p.name for part in ("entries", "work") for p in _inside(cache.root / part)}
    infos = (_info(cache.root / "entries" / key, cache.root / "work" / key) for key in keys)
    return sorted((i for i in infos if i is not None), key=lambda i: (i.last_used, i.key))


def prune_cache(cache: StageCache, *, older_than_s: float | None, keep_bytes: int | None, everything: bool) -> Pruned:
    """Remove what was used last before `older_than_s`, then the least recently used beyond `keep_bytes`, or all.

    Damaged entries and leftovers of killed processes always go; what another process uses always stays.
    """
    infos = list_entries(cache)
    now, total = time.time(), sum(i.size for i in infos)
    entries = size = busy = 0
    for info in infos:
        old = older_than_s is not None and now - info.last_used > older_than_s
        too_much = keep_bytes is not None and total > keep_bytes
        if not (everything or old or too_much or info.state == "damaged"):
            continue
        if _remove(cache, info.key):
            entries, size, total = entries + 1, size + info.size, total - info.size
        else:
            busy += 1
    return Pruned(entries, size + _remove_leftovers(cache), busy)


def _info(entry: Path, work: Path) -> EntryInfo | None:
    """Return what is there under one key; None if it has been removed since it was listed."""
    size = _size(work)
    try:
        record = read_record(entry, entry.name)
    except DamagedError:
        if entry.exists():
            used = last_used(entry)
            return EntryInfo(entry.name, "", size + _size(entry), used, used, "damaged")
        used = last_used(work)
        return EntryInfo(entry.name, "", size, used, used, "unfinished work") if work.exists() else None
    step = str(record.entry.meta.get("step", ""))
    return EntryInfo(entry.name, step, size + record.size, record.made, last_used(entry), "whole")


def _remove(cache: StageCache, key: str) -> bool:
    with cache.exclusive(key, wait=False) as got:
        if got:
            cache.discard(cache.root / "entries" / key)
            cache.discard(cache.root / "work" / key)
        return got


def _remove_leftovers(cache: StageCache) -> int:
    """Remove what no living process has the lock of and no entry needs, and return its bytes."""
    size = 0
    for folder in _leftovers(cache.root):
        with cache.exclusive(folder.name.split(".")[0], wait=False) as got:
            if got:
                size += _size(folder)
                cache.discard(folder)
    for folder in _inside(cache.root / "trash"):
        size += _size(folder)
        cache.discard(folder)
    for lock in _inside(cache.root / "locks"):
        if not any((cache.root / part / lock.name).exists() for part in ("entries", "work")):
            with cache.exclusive(lock.name, wait=False):
                pass  # which removes it at its end
    return size


def _leftovers(root: Path) -> Iterator[Path]:
    """Yield folders of a process that was killed before its entry was finished, or before it removed its work."""
    yield from _inside(root / "tmp")
    yield from (p for p in _inside(root / "work") if (root / "entries" / p.name).exists())


def _inside(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(folder.iterdir())
    return []


def _size(folder: Path) -> int:
    return sum(s.st_size for s in stats_below(folder) if stat.S_ISREG(s.st_mode))
