"""Set up the emulated machine: gather, unpack, compile, try. What is whole already is not done again."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.arm.cores import CORES
from attendc.arm.machine.assemble import (
    cores_are_whole,
    installed_emulator,
    installed_root,
    make_cores,
    make_emulator,
    make_root,
)
from attendc.arm.machine.gather import Taken, gather_offline, gather_online, present
from attendc.arm.machine.host import check_emulator, check_tools, find_qemu, qemu_faults
from attendc.arm.machine.lock import Lock, read_lock
from attendc.arm.machine.plugin import compile_plugin, plugin_hash, source_hash, try_machine
from attendc.arm.machine.record import Installed, Record, read_record, write_record
from attendc.arm.machine.sysroot import arm_folder, downloads_folder, emulator_path, own_emulator_folder
from attendc.context import Context
from attendc.errors import OutputError, UsageError

__all__ = ["SetupRequest", "setup_arm"]

_HINT = "Set ATTENDC_ARM to a folder that can be written"
_FULL_HINT = "Free 400 MB, or set ATTENDC_ARM to a folder on another disk"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class SetupRequest:
    """What `attendc arm setup` is asked for.

    Attributes:
        offline: a folder of all packages; None: they are downloaded.
        locked: refuse a package that is not of the version in lock.json.
        force: make everything anew from the downloads.
        own_emulator: bring an emulator too, for a host that has none, or one without plugins. It stays.
    """

    offline: Path | None = None
    locked: bool = False
    force: bool = False
    own_emulator: bool = False


def setup_arm(request: SetupRequest, context: Context) -> dict[str, Any]:
    """Make the emulated machine, or what it lacks, and return its record, with `folder`, `cores` and `made` (just now).

    Killed at any point and started again it gets whole; of two at once one waits for the other.

    Raises:
        UsageError: if something is missing on this host, cannot be downloaded, or does not work.
        OutputError: if the folder cannot be written.
    """
    lock = read_lock()
    with _write_errors_told():
        made: list[str] = []
        record = _whole(request, lock)
        if record is None:
            with _alone(context):
                record = _whole(request, lock)  # another process may have made it meanwhile
                if record is None:
                    record, made = _make(request, lock, context)
    for core in CORES.values():
        if core.emulated_as:
            context.say(f"{core.name} is emulated as {core.emulated_as}, which has the same instructions")
    cores = [{"name": core.name, "emulated_as": core.emulated_as or core.name} for core in CORES.values()]
    return {"folder": str(arm_folder()), "made": made, "cores": cores, **record.as_json()}


def _whole(request: SetupRequest, lock: Lock) -> Record | None:
    """Return the record of a machine to which nothing is to be done."""
    record, qemu = None if request.force else read_record(), find_qemu()
    if record is None or qemu is None or qemu_faults(qemu) or record.faults(lock, qemu):
        return None
    if request.locked and record.unpinned:
        return None
    if _has_own_emulator(request) and installed_emulator(lock) != record.emulator:
        return None
    return record if installed_root(lock) == record.packages and cores_are_whole() else None


def _has_own_emulator(request: SetupRequest) -> bool:
    return request.own_emulator or own_emulator_folder().is_dir()


def _make(request: SetupRequest, lock: Lock, context: Context) -> tuple[Record, list[str]]:
    if "," in str(arm_folder()):
        raise UsageError(f"{arm_folder()} has a comma in it, which the emulator cannot take", hint=_HINT)
    own = _has_own_emulator(request)
    packages = _kept(installed_root(lock), request)
    emulator = _kept(installed_emulator(lock), request) if own else ()
    wanted = (() if packages is not None else lock.packages, () if emulator is not None else lock.emulator)
    taken = _gather(request, replace(lock, packages=wanted[0] + wanted[1]), context, own_emulator=own)
    made = []
    if emulator is None:
        emulator = make_emulator([t for t in taken if t.package.kind == "emulator"], lock, context)
        made.append("emulator")
    qemu = check_emulator()
    if packages is None:
        packages = make_root([t for t in taken if t.package.kind != "emulator"], lock, context)
        made.append("root")
    if request.force or not cores_are_whole():
        make_cores()
        made.append("cores")
    compile_plugin(qemu)
    made.append("plugin")
    context.say("trying it: the runtimes load on an emulated core")
    python = try_machine(qemu)
    record = Record(
        lock=lock.digest,
        attendc=__version__,
        set_up=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        python=python,
        qemu=qemu.path,
        qemu_version=qemu.version,
        plugin=plugin_hash(),
        plugin_source=source_hash(),
        packages=packages,
        emulator=emulator,
        qemu_bytes=Path(qemu.path).stat().st_size,
    )
    write_record(record)
    return record, made


def _kept(installed: tuple[Installed, ...] | None, request: SetupRequest) -> tuple[Installed, ...] | None:
    """Return what is unpacked already, if that will do."""
    if installed is None or request.force or (request.locked and not all(p.pinned for p in installed)):
        return None
    return installed


def _gather(request: SetupRequest, lock: Lock, context: Context, *, own_emulator: bool) -> list[Taken]:
    """Check the host for what is needed, all at once, then take the packages of `lock`."""
    if not own_emulator and emulator_path() is not None:
        check_emulator()
    if request.offline is not None or not lock.packages:
        check_tools(download=False, own_emulator=own_emulator)
    if not lock.packages:
        return []
    if request.offline is not None:
        return gather_offline(request.offline, lock, context, locked=request.locked)
    _, lacking = present(downloads_folder(), lock, context, locked=request.locked)
    check_tools(download=bool(lacking), own_emulator=own_emulator)
    return gather_online(downloads_folder(), lock, context, locked=request.locked)


@contextmanager
def _alone(context: Context) -> Iterator[None]:
    """Let one process at a time make the machine."""
    arm_folder().mkdir(parents=True, exist_ok=True)
    lock = os.open(arm_folder() / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            context.say(f"another process sets up {arm_folder()}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def _write_errors_told() -> Iterator[None]:
    try:
        yield
    except (OutputError, OSError) as e:
        cause = e.__cause__ if isinstance(e, OutputError) else e
        full = isinstance(cause, OSError) and cause.errno in _NO_SPACE
        text = e.message if isinstance(e, OutputError) else f"cannot write {arm_folder()}: {e.strerror or e}"
        raise OutputError(text, hint=_FULL_HINT if full else _HINT) from e
