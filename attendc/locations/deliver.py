"""A run's folder to a URI: every file, and manifest.json last, so that what has a manifest is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.errors import InternalError, OutputError
from attendc.locations.remote import file_system, remote_errors
from attendc.locations.uri import redacted

__all__ = ["check_deliverable", "deliver"]

_LAST = "manifest.json"


def check_deliverable(uri: str, *, force: bool) -> None:
    """Check, before any work, that no run is at `uri` unless `force` says that it may be replaced.

    Raises:
        OutputError: if there is one, or the place is not reached.
    """
    system, target = file_system(uri, OutputError)
    with remote_errors(uri, OutputError, "write to"):
        _is_there(system, target.rstrip("/"), uri, force=force)


def deliver(folder: Path, uri: str, context: Context, *, force: bool = False) -> None:
    """Copy what is in `folder` below `uri`.

    With `force` a run that lies there is replaced, and files that only it has are removed. A folder without a manifest
    is what an upload that was stopped has left; it is filled without asking.

    Raises:
        OutputError: if a run lies there already, or it cannot be written.
    """
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if _LAST not in names:
        raise InternalError(f"{folder} has no {_LAST}")
    system, target = file_system(uri, OutputError)
    target = target.rstrip("/")
    with remote_errors(uri, OutputError, "write to"):
        if _is_there(system, target, uri, force=force):
            _clear(system, target, names)
        _upload(system, folder, [n for n in names if n != _LAST] + [_LAST], target, uri, context)


def _is_there(system: Any, target: str, uri: str, *, force: bool) -> bool:
    there = bool(system.exists(f"{target}/{_LAST}"))
    if there and not force:
        raise OutputError(f"{redacted(uri)} exists already", hint="Add --force to replace it, or choose -o")
    return there


def _clear(system: Any, target: str, names: list[str]) -> None:
    """Remove the manifest first, then what the new run does not write over."""
    system.rm_file(f"{target}/{_LAST}")
    old = {str(p): str(p).removeprefix(f"{target}/") for p in system.find(target)}
    for path, name in old.items():
        if name not in names:
            system.rm_file(path)


def _upload(system: Any, folder: Path, names: list[str], target: str, uri: str, context: Context) -> None:
    sizes = [(folder / n).stat().st_size for n in names]
    with context.progress(f"writing to {redacted(uri)}", sum(sizes)) as advance:
        for name, size in zip(names, sizes, strict=True):
            system.put_file(str(folder / name), f"{target}/{name}")
            advance(size, name)
