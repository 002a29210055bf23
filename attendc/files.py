"""Files and folders that appear whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attendc.errors import OutputError

__all__ = [
    "cache_folder",
    "check_replaceable",
    "check_writable",
    "new_folder",
    "replace_file",
    "replace_folder",
    "sha256",
    "tree_bytes",
]

_HINTS = {
    errno.ENOSPC: "Free some space and run it again",
    errno.EROFS: "Choose another place with -o",
    errno.EACCES: "Choose another place with -o, or change its permissions",
    errno.EEXIST: "A part of the path is a file; choose another place with -o",
    errno.ENOTDIR: "A part of the path is a file; choose another place with -o",
}


def cache_folder() -> Path:
    """Return where measurements are kept: $ATTENDC_CACHE, else attendc/ in $XDG_CACHE_HOME, else in ~/.cache."""
    own = os.environ.get("ATTENDC_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attendc"


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def tree_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in _tree(folder))


def _tree(folder: Path) -> list[Path]:
    return sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix())


def check_writable(path: Path) -> None:
    """Check, before hours of work and without making anything, that the file `path` can be written after them.

    Raises:
        OutputError: if it is a folder, lies below a file, or where nothing may be written.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="Give the name of a file")
    nearest = next(p for p in path.absolute().parents if p.exists())
    if not nearest.is_dir():
        raise OutputError(f"cannot write {path}: {nearest} is a file", hint=_HINTS[errno.ENOTDIR])
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission in {nearest}", hint=_HINTS[errno.EACCES])


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it takes the place of `path`, else it is removed.

    Raises:
        OutputError: if it cannot be written (read-only, disk full, a folder of that name).
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="Give the name of a file")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as e:
        raise _output_error(path, e) from e
    finally:
        with suppress(OSError):  # also where a part of the path is a file
            beside.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a folder beside `path` to fill; on success it becomes `path`, else it is removed.

    With `force` an existing folder is replaced, but only one that attendc made (it holds a manifest.json). What
    processes that were killed left beside `path` is removed too.

    Raises:
        OutputError: if `path` exists and may not be replaced, or cannot be written.
    """
    check_replaceable(path, force=force)
    with _made_beside(path) as beside:
        yield beside


@contextmanager
def replace_folder(path: Path, mark: str) -> Iterator[Path]:
    """Give a folder beside `path` to fill; on success it takes the place of `path`, else it is removed.

    An existing folder is replaced only if it holds a file named `mark`.

    Raises:
        OutputError: if something else stands at `path`, or it cannot be written.
    """
    if path.exists() and not (path / mark).is_file():
        raise OutputError(f"{path} exists and holds no {mark}", hint="Remove it yourself, or choose another place")
    with _made_beside(path) as beside:
        yield beside


@contextmanager
def _made_beside(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` that becomes `path`, whose place it takes, or is removed."""
    absent = [p for p in path.parents if not p.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path, ".part") as beside:
            yield beside
            beside.chmod(0o755)
            _swap(beside, path)
        _drop_leftovers(path)
    except OSError as e:
        raise _output_error(path, e) from e
    finally:
        for parent in absent:  # those made above, from the inside out, as far as nothing is in them
            with suppress(OSError):
                parent.rmdir()


def check_replaceable(path: Path, *, force: bool) -> None:
    """Check, before any work, that the folder `path` can be made: it is not there, or `force` and attendc's own.

    Raises:
        OutputError: if not.
    """
    if not path.exists():
        return
    if not force:
        raise OutputError(f"{path} exists already", hint="Add --force to replace it, or choose -o")
    if not (path / "manifest.json").is_file():
        raise OutputError(
            f"{path} was not made by attendc (it holds no manifest.json)",
            hint="Remove it yourself, or choose another place with -o",
        )


def _swap(beside: Path, path: Path) -> None:
    """Put `beside` in the place of `path`; what stood there is removed only after."""
    if not path.exists():
        beside.rename(path)
        return
    with _beside(path, ".old") as old:
        path.rename(old / path.name)
        try:
            beside.rename(path)
        except OSError:
            (old / path.name).rename(path)
            raise


@contextmanager
def _beside(path: Path, suffix: str) -> Iterator[Path]:
    """Give a new folder beside `path`, removed in the end; as long as it is held, nobody takes it for a leftover."""
    folder, lock = _new_locked(path, suffix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _new_locked(path: Path, suffix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent))
        lock = os.open(folder, os.O_RDONLY)
        if _locked(lock) is not False and folder.exists():  # else it was taken for a leftover before it was locked
            return folder, lock
        os.close(lock)


def _locked(descriptor: int) -> bool | None:
    """Lock an open folder until its descriptor is closed, or its process is killed; None: there are no locks here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _drop_leftovers(path: Path) -> None:
    """Remove the folders of `_beside` whose processes were killed; `path` itself is whole."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.(part|old)")
    for folder in [p for p in path.parent.iterdir() if name.fullmatch(p.name)]:
        with suppress(OSError):  # it is no folder, gone meanwhile, or may not be opened
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _locked(lock):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _output_error(path: Path, error: OSError) -> OutputError:
    hint = _HINTS.get(error.errno or 0, "Choose another place with -o")
    return OutputError(f"cannot write {path}: {error.strerror or error}", hint=hint)
