"""A lock between processes, on a file; the kernel frees it when its holder dies, even by kill -9."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked"]

_OPEN: set[int] = set()
"""Descriptors of the locks that this process holds or waits for."""


@contextmanager
def locked(path: Path, *, shared: bool = False, on_wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock `path`, whose folder exists; yield whether it was got.

    It is always got where `on_wait` is given: that is called once if another has the lock, which is then waited for.
    Its holder may remove the file, if not shared: whoever waited for it then notices and locks the new one.

    Raises:
        OSError: if the file cannot be made or opened.
    """
    descriptor = _take(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, on_wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(descriptor)


def _take(path: Path, mode: int, on_wait: Callable[[], None] | None) -> int | None:
    while True:
        # To read is enough for a lock, and a file that exists is so opened on a read-only file system too.
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        _OPEN.add(descriptor)
        try:
            waited = not _try(descriptor, mode)
            if waited and on_wait is None:
                _release(descriptor)
                return None
            if waited and on_wait is not None:
                on_wait()
                on_wait = _already_said
                fcntl.flock(descriptor, mode)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            _release(descriptor)
            raise
        _release(descriptor)


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file still has its name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(descriptor: int) -> None:
    if descriptor in _OPEN:  # not in a forked child, which has closed it
        _OPEN.discard(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _already_said() -> None:
    return None


def _close_in_child() -> None:
    """Close the locks in a forked child, or a worker that outlives its killed parent would hold them on."""
    for descriptor in _OPEN:
        with suppress(OSError):
            os.close(descriptor)
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_in_child)
