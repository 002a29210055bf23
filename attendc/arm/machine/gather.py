"""The files that the emulated machine is unpacked from: in a folder of downloads, each checked by its hash.

A package that Debian's archive no longer has in the pinned version is taken as the archive has it now, which is said
and written down in `unpinned.json` beside the files, so that the folder can be used as it is with `--offline`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from attendc.arm.machine.apt import Apt
from attendc.arm.machine.lock import Kind, Lock, Package
from attendc.arm.machine.wheels import download_wheel
from attendc.context import Advance, Context
from attendc.errors import UsageError
from attendc.files import replace_file, sha256

__all__ = ["Taken", "gather_offline", "gather_online", "present"]

_UNPINNED = "unpinned.json"
_APT = ".apt-"


@dataclass(frozen=True)
class Taken:
    """A package, whole.

    Attributes:
        package: as it is taken.
        pinned: whether that is the one of the lock.
        path: of its file.
    """

    package: Package
    pinned: bool
    path: Path


def _taken_from(folder: Path, lock: Lock, *, locked: bool = False) -> tuple[list[Taken], list[Package]]:
    """Return what `folder` holds whole, and what it lacks; with `locked` only pinned packages count.

    Raises:
        UsageError: if a file is not the one that its name says.
    """
    others = {} if locked else _read_unpinned(folder)
    found, lacking = [], []
    for pin in lock.packages:
        package = next((p for p in (pin, others.get((pin.kind, pin.name))) if p and (folder / p.file).is_file()), None)
        if package is None:
            lacking.append(pin)
        else:
            _check(folder / package.file, package)
            found.append(Taken(package, package == pin, folder / package.file))
    return found, lacking


def _check(path: Path, package: Package) -> None:
    found = sha256(path)
    if found != package.sha256:
        raise UsageError(
            f"{path} is damaged or another file: its sha256 is {found}, that of {package.name} {package.version} is "
            f"{package.sha256}",
            hint="Remove it and run this again",
        )


def _read_unpinned(folder: Path) -> dict[tuple[str, str], Package]:
    """Return (kind, name) -> package."""
    path = folder / _UNPINNED
    if not path.is_file():
        return {}
    try:
        packages = [Package(**told) for told in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as e:
        raise UsageError(f"{path} cannot be read: {e}", hint="Remove it and run this again") from e
    return {(p.kind, p.name): p for p in packages}


def gather_offline(folder: Path, lock: Lock, context: Context, *, locked: bool) -> list[Taken]:
    """Take all files from a folder.

    Raises:
        UsageError: if there is no such folder, or naming all files that it lacks.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}", hint="Give the folder of the .deb and .whl files to --offline")
    found, lacking = _taken_from(folder, lock, locked=locked)
    if lacking:
        raise UsageError(
            f"{folder} lacks {len(lacking)} of {len(lock.packages)} files: {', '.join(p.file for p in lacking)}",
            hint="Put them there; they lie in `downloads` of an emulated machine that was set up online",
        )
    _say_unpinned(found, context)
    return found


def present(folder: Path, lock: Lock, context: Context, *, locked: bool) -> tuple[list[Taken], list[Package]]:
    """Return what the folder of downloads holds whole and what it lacks; what is damaged is removed, which is said."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in (*lock.packages, *_read_unpinned(folder).values()):
        _drop_damaged(folder / package.file, package, context)
    return _taken_from(folder, lock, locked=locked)


def gather_online(folder: Path, lock: Lock, context: Context, *, locked: bool) -> list[Taken]:
    """Download into `folder` what it does not hold whole yet. The host's apt and pip bring it, and change nothing.

    Raises:
        UsageError: if a package cannot be had, or with `locked`, not in its version.
    """
    found, lacking = present(folder, lock, context, locked=locked)
    if lacking:
        with context.progress("download", len(lock.packages)) as advance:
            advance(len(found), "")
            for kind, debs in groupby((p for p in lacking if p.kind != "wheel"), key=lambda p: p.kind):
                _download_debs(folder, lock.suite, kind, [*debs], context, advance, locked=locked)
            for wheel in (p for p in lacking if p.kind == "wheel"):
                download_wheel(wheel, folder)
                advance(1, wheel.name)
        found, lacking = _taken_from(folder, lock, locked=locked)
        if lacking:
            raise UsageError(f"{', '.join(p.name for p in lacking)} did not arrive in {folder}", hint="Run it again")
    _say_unpinned(found, context)
    return found


def _drop_damaged(path: Path, package: Package, context: Context) -> None:
    if path.is_file() and sha256(path) != package.sha256:
        context.say(f"{path} is not whole and is downloaded again")
        path.unlink()


def _download_debs(
    folder: Path, suite: str, kind: Kind, pins: Sequence[Package], context: Context, advance: Advance, *, locked: bool
) -> None:
    for leftover in folder.glob(f"{_APT}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_APT, dir=folder) as name:
        apt = Apt(Path(name), suite, kind)
        context.say("fetching Debian's lists of packages (9 MB, not kept)")
        apt.update()
        chosen = apt.choose(pins)
        others = [(pin, new) for pin, new in zip(pins, chosen, strict=True) if new != pin]
        if others and locked:
            gone = ", ".join(f"{pin.name} {pin.version} (now {new.version})" for pin, new in others)
            raise UsageError(
                f"Debian's archive no longer has {gone}",
                hint="Leave out --locked to take what it has, or use --offline",
            )
        _write_unpinned(folder, [new for _, new in others])
        apt.download(chosen, folder, advance)


def _write_unpinned(folder: Path, packages: Sequence[Package]) -> None:
    known = _read_unpinned(folder) | {(p.kind, p.name): p for p in packages}
    if known:
        with replace_file(folder / _UNPINNED) as beside:
            beside.write_text(json.dumps([asdict(p) for p in known.values()], indent=1) + "\n", encoding="utf-8")


def _say_unpinned(found: Sequence[Taken], context: Context) -> None:
    for taken in found:
        if not taken.pinned:
            context.warn(
                f"{taken.package.name} is {taken.package.version}, not the version that attendc was tested with, which "
                "Debian's archive no longer has"
            )
