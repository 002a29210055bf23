"""Inputs from elsewhere, kept in the cache whole or not at all, and checked whenever they are used.

```
CACHE/fetched/ID/NAME             the file or folder
CACHE/fetched/ID/.attendc.json    its content's hash and its name
```

ID is the sha256 of the URI and of what the server tells of the version (ETag, time, sizes), or else of the content.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from attendc.context import Advance, Context
from attendc.errors import AttendcError, OutputError
from attendc.files import cache_folder
from attendc.locations.content import content_hash
from attendc.locations.remote import file_system, remote_errors
from attendc.locations.uri import last_name, local_path, redacted, scheme_of

__all__ = ["fetch"]

_RECORD = ".attendc.json"
_PIECE = 1 << 20
_PART = ".part-"
_STALE_S = 7 * 24 * 3600.0
"""A download that began so long ago was killed."""
_VERSIONS = (
    "ETag", "etag", "Content-MD5", "Digest", "md5Hash", "content_md5", "generation", "version_id", "VersionId",
    "sha256", "blob_id", "Last-Modified", "LastModified", "last_modified", "mtime", "updated", "modified", "created",
)  # fmt: skip
"""Names under which the file systems tell what changes with the content."""


def fetch(location: str, *, sha256: str = "", error: type[AttendcError], context: Context) -> Path:
    """Return a path on this machine to what `location` names: itself if it is a path, else a copy in the cache.

    With `sha256`, a copy of that content and name is taken without asking the network.

    Raises:
        AttendcError: of the type `error` if it cannot be had, or its content is not the one asked for.
        OutputError: if the cache cannot be written.
    """
    path = local_path(location)
    if path is not None:
        if sha256:
            _check(path, str(path), sha256, error)
        return path
    folder = cache_folder() / "fetched"
    known = _known(folder, last_name(location), sha256, error, context) if sha256 else None
    return known or _fetch(location, folder, sha256, error, context)


def _fetch(uri: str, folder: Path, expected: str, error: type[AttendcError], context: Context) -> Path:
    system, path = file_system(uri, error)
    with remote_errors(uri, error, "read"):
        files = _listing(system, path, uri)
    version = _version(files)
    place = folder / _digest(uri, version) if version else None
    copy = _whole(place, error, context) if place else None
    if copy is None:
        with _beside(folder) as beside:
            copy = beside / last_name(uri)
            _download(system, files, copy, uri, error, context)
            found = content_hash(copy, error=error)
            if expected and found != expected:
                raise _mismatch(redacted(uri), found, expected, error)
            (beside / _RECORD).write_text(json.dumps({"name": copy.name, "sha256": found}), encoding="utf-8")
            return _put(beside, place or folder / _digest(uri, found), error, context) / copy.name
    if expected:
        _check(copy, redacted(uri), expected, error)
    return copy


def _listing(system: Any, path: str, uri: str) -> dict[str, dict[str, Any]]:
    """Return what the file system tells of each file, by its name relative to `path`; of one file under "" ."""
    if scheme_of(uri) in ("http", "https"):  # which has no folders
        return {"": dict(system.info(path), name=path)}
    info = system.info(path)
    if info["type"] != "directory":
        return {"": info}
    found = system.find(path, detail=True)
    if not found:
        raise FileNotFoundError(path)
    start = str(info["name"]).rstrip("/") + "/"
    return {name.removeprefix(start): told for name, told in sorted(found.items())}


def _version(files: dict[str, dict[str, Any]]) -> str:
    """Return what changes with the content; the empty text if the server tells no such thing of some file."""
    versions = [
        [name, info.get("size"), *(str(info[v]) for v in _VERSIONS if v in info)] for name, info in files.items()
    ]
    return json.dumps(versions) if all(len(v) > 2 for v in versions) else ""


def _download(
    system: Any, files: dict[str, dict[str, Any]], target: Path, uri: str, error: type[AttendcError], context: Context
) -> None:
    total = sum(info.get("size") or 0 for info in files.values())
    with context.progress(f"fetching {redacted(uri)}", total) as advance:
        for name, info in files.items():
            parts = PurePosixPath(name).parts
            if ".." in parts or name.startswith("/"):
                raise error(f"{redacted(uri)} holds a file {name!r}, which would lie outside of its folder")
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy(system, info, path, uri, error, advance)


def _copy(system: Any, info: dict[str, Any], path: Path, uri: str, error: type[AttendcError], advance: Advance) -> None:
    done = 0
    with remote_errors(uri, error, "read"):
        source = system.open(info["name"], "rb")
    with path.open("wb") as file, source:
        while True:
            with remote_errors(uri, error, "read"):
                piece = source.read(_PIECE)
            if not piece:
                break
            file.write(piece)
            done += len(piece)
            advance(len(piece), path.name)
    size = info.get("size")
    if size is not None and done != size:
        raise error(f"{redacted(uri)} ended after {done} of {size} bytes ({path.name})", hint="Run it again")


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which is removed unless it has been renamed; what cannot be written is told."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(f"{_PART}*"):
            if time.time() - part.stat().st_mtime > _STALE_S:
                shutil.rmtree(part, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_PART, dir=folder, ignore_cleanup_errors=True) as name:
            beside = Path(name) / "new"
            beside.mkdir()
            yield beside
    except OSError as e:
        full = e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "Free some space, or set" if full else "Set"
        raise OutputError(
            f"cannot write {folder}: {e.strerror or e}", hint=f"{hint} ATTENDC_CACHE to another folder"
        ) from e


def _put(beside: Path, place: Path, error: type[AttendcError], context: Context) -> Path:
    """Rename `beside` to `place`, unless another process has brought a whole copy there meanwhile."""
    for _ in range(3):
        with suppress(OSError):  # something is there
            return beside.rename(place)
        if _whole(place, error, context) is not None:
            return place
    return beside.rename(place)


def _whole(place: Path, error: type[AttendcError], context: Context) -> Path | None:
    """Return the copy in a folder of the cache if it is what was fetched; else remove it and say so."""
    if not place.exists():
        return None
    try:
        record = json.loads((place / _RECORD).read_text(encoding="utf-8"))
        copy = place / str(record["name"])
        if copy.exists() and content_hash(copy, error=error) == record["sha256"]:
            return copy
    except (OSError, ValueError, KeyError, TypeError, AttendcError):
        pass  # a record or a file that cannot be read is damage too
    context.say(f"the fetched copy {place} is damaged and is fetched again")
    shutil.rmtree(place, ignore_errors=True)
    return None


def _known(folder: Path, name: str, sha256: str, error: type[AttendcError], context: Context) -> Path | None:
    """Return a copy of that name and content, from wherever it came."""
    for record in sorted(folder.glob(f"*/{_RECORD}")):
        with suppress(OSError, ValueError):
            if json.loads(record.read_text(encoding="utf-8")) == {"name": name, "sha256": sha256}:
                copy = _whole(record.parent, error, context)
                if copy is not None:
                    return copy
    return None


def _check(path: Path, shown: str, expected: str, error: type[AttendcError]) -> None:
    if not path.exists():
        raise error(f"nothing is at {shown}, whose sha256 should be {expected}", hint="Check the path")
    found = content_hash(path, error=error)
    if found != expected:
        raise _mismatch(shown, found, expected, error)


def _mismatch(shown: str, found: str, expected: str, error: type[AttendcError]) -> AttendcError:
    return error(
        f"{shown} has the sha256 {found}, expected was {expected}",
        hint="Give the file that was meant, or correct the sha256",
    )


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
