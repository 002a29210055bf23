"""Make the folders of the emulated machine (root, cores, emulator), and see whether they are whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attendc.arm.cores import CORES, Core
from attendc.arm.machine.gather import Taken
from attendc.arm.machine.lock import Lock, Package, digest_of
from attendc.arm.machine.record import Installed
from attendc.arm.machine.sysroot import EMULATOR, PYTHON, SITE, cores_folder, own_emulator_folder, root_folder
from attendc.context import Context
from attendc.errors import UsageError
from attendc.files import replace_folder

__all__ = ["cores_are_whole", "installed_emulator", "installed_root", "make_cores", "make_emulator", "make_root"]

_MARK = "attendc.json"
_CPU = "sys/devices/system/cpu"
_IDLE_KHZ = 600_000
_TAIL = 300
_STARTER = f"""#!/bin/sh
# qemu for x86-64 with the libraries that it was built with, whatever the system has.
here=${{0%/*}}
libraries=$here/lib/x86_64-linux-gnu:$here/usr/lib/x86_64-linux-gnu
exec "$here/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$libraries" "$here/usr/bin/{EMULATOR}" "$@"
"""


def make_root(taken: Sequence[Taken], lock: Lock, context: Context) -> tuple[Installed, ...]:
    """Unpack the packages, beside the root, put the whole in its place, and return what is in it.

    Raises:
        UsageError: if a package cannot be unpacked.
        OutputError: if the disk is full, or nothing may be written there.
    """
    with _unpacked(root_folder(), taken, lock.packages, context) as beside:
        if not (beside / PYTHON).exists():
            raise UsageError(f"the packages bring no {PYTHON}", hint="Report it")
    return _installed(taken)


def make_emulator(taken: Sequence[Taken], lock: Lock, context: Context) -> tuple[Installed, ...]:
    """Unpack an emulator with its libraries, as `make_root` does, and beside it a script that starts it with them.

    Raises:
        UsageError: if a package cannot be unpacked.
        OutputError: if the disk is full, or nothing may be written there.
    """
    with _unpacked(own_emulator_folder(), taken, lock.emulator, context) as beside:
        for path in (beside / "usr" / "bin").iterdir():  # one emulator for each architecture there is
            if path.name != EMULATOR:
                path.unlink()
        shutil.rmtree(beside / "usr" / "share")
        (beside / EMULATOR).write_text(_STARTER, encoding="utf-8")
        (beside / EMULATOR).chmod(0o755)
    return _installed(taken)


@contextmanager
def _unpacked(folder: Path, taken: Sequence[Taken], pins: Sequence[Package], context: Context) -> Iterator[Path]:
    """Give a folder with the packages in it; in the end it takes the place of `folder`, with a mark of what it is."""
    with replace_folder(folder, _MARK) as beside:
        with context.progress(f"unpack {folder.name}", len(taken)) as advance:
            for one in taken:
                _unpack(one, beside)
                advance(1, one.package.name)
        yield beside
        packages = [asdict(one) for one in _installed(taken)]
        told = {"lock": digest_of(pins), "bytes": _bytes_in(beside), "packages": packages}
        (beside / _MARK).write_text(json.dumps(told), encoding="utf-8")


def _installed(taken: Sequence[Taken]) -> tuple[Installed, ...]:
    return tuple(Installed.of(one.package, pinned=one.pinned) for one in taken)


def _unpack(taken: Taken, folder: Path) -> None:
    if taken.package.kind == "wheel":
        try:
            zipfile.ZipFile(taken.path).extractall(folder / SITE.removeprefix("/"))
        except zipfile.BadZipFile as e:
            raise UsageError(f"{taken.path} cannot be unpacked: {e}", hint="Remove it and run this again") from e
        return
    done = subprocess.run(
        ["dpkg-deb", "-x", str(taken.path), str(folder)], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise UsageError(f"dpkg-deb could not unpack {taken.path}: {done.stderr[-_TAIL:].strip()}")


def installed_root(lock: Lock) -> tuple[Installed, ...] | None:
    """Return what is in the root; None: it is not there, of another lock, or has not the bytes that were unpacked."""
    return _installed_in(root_folder(), lock.packages)


def installed_emulator(lock: Lock) -> tuple[Installed, ...] | None:
    """Return what is in the machine's own emulator, or None, as `installed_root`."""
    return _installed_in(own_emulator_folder(), lock.emulator)


def _installed_in(folder: Path, pins: Sequence[Package]) -> tuple[Installed, ...] | None:
    mark = folder / _MARK
    try:
        told: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8"))
        size = _bytes_in(folder) - mark.stat().st_size
        whole = told["lock"] == digest_of(pins) and told["bytes"] == size
        return tuple(Installed(**p) for p in told["packages"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _bytes_in(folder: Path) -> int:
    """Return the size of all files but what Python may have compiled there since."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")


def make_cores() -> None:
    """Write what each core shows of itself, beside links to the root.

    Raises:
        OutputError: if nothing may be written there.
    """
    with replace_folder(cores_folder(), _MARK) as beside:
        (beside / _MARK).write_text("{}", encoding="utf-8")
        for core in CORES.values():
            prefix = beside / core.name
            for name, text in _own_files(core).items():
                (prefix / name).parent.mkdir(parents=True, exist_ok=True)
                (prefix / name).write_text(text, encoding="utf-8")
            for name in _shared():
                (prefix / name).symlink_to(Path("../../root") / name)


def cores_are_whole() -> bool:
    """Return whether each core's files are as this attendc writes them."""
    return (cores_folder() / _MARK).is_file() and all(
        _reads(cores_folder() / core.name, _own_files(core)) for core in CORES.values()
    )


def _reads(prefix: Path, texts: Mapping[str, str]) -> bool:
    try:
        return all((prefix / name).read_text(encoding="utf-8") == text for name, text in texts.items()) and all(
            (prefix / name).exists() for name in _shared()
        )
    except (OSError, ValueError):
        return False


def _shared() -> list[str]:
    return [entry.name for entry in root_folder().iterdir() if entry.name not in {_MARK, "proc", "sys"}]


def _own_files(core: Core) -> dict[str, str]:
    """Return path -> text of what XNNPACK's cpuinfo reads: one processor, of this core's make.

    With the host's own files it ends in a segmentation fault.
    """
    cpu = f"{_CPU}/cpu0"
    topology = {"core_id": 0, "physical_package_id": 0, "core_siblings_list": 0, "thread_siblings_list": 0}
    return {
        "proc/cpuinfo": _cpuinfo(core),
        **{f"{_CPU}/{name}": "0\n" for name in ("possible", "present", "online")},
        **{f"{cpu}/topology/{name}": f"{number}\n" for name, number in topology.items()},
        **{f"{cpu}/topology/{name}": "1\n" for name in ("core_siblings", "thread_siblings")},
        f"{cpu}/cpufreq/cpuinfo_min_freq": f"{_IDLE_KHZ}\n",
        f"{cpu}/cpufreq/cpuinfo_max_freq": f"{1000 * core.max_mhz}\n",
    }


def _cpuinfo(core: Core) -> str:
    lines = {
        "processor": "0",
        "BogoMIPS": "108.00",
        "Features": " ".join(core.features),
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": f"{core.variant:#x}",
        "CPU part": f"{core.part:#05x}",
        "CPU revision": f"{core.revision}",
    }
    return "".join(f"{name}\t: {value}\n" for name, value in lines.items()) + "\n"
