"""What an emulated machine is made of: setup.json, written when it is whole and was tried."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attendc.arm.machine.host import Qemu
from attendc.arm.machine.lock import Lock, Package
from attendc.arm.machine.plugin import plugin_hash, source_hash
from attendc.arm.machine.sysroot import emulator_path, setup_path
from attendc.files import replace_file

__all__ = ["Installed", "Record", "read_record", "write_record"]


@dataclass(frozen=True)
class Installed:
    """A package of the root; `pinned`: it is the one in lock.json."""

    kind: str
    name: str
    version: str
    sha256: str
    pinned: bool

    @classmethod
    def of(cls, package: Package, *, pinned: bool) -> Installed:
        """Return a package as it is written down."""
        return cls(package.kind, package.name, package.version, package.sha256, pinned)


@dataclass(frozen=True)
class Record:
    """Attributes:
    lock: digest of the lock that it was made by.
    attendc: version that made it.
    set_up: when, UTC.
    python: version in the machine.
    qemu: path of the emulator that it was tried with.
    qemu_version: of that.
    plugin: hash of the compiled plugin.
    plugin_source: hash of its source.
    packages: what was unpacked.
    emulator: what was unpacked of an emulator of its own; nothing: the system's is used.
    qemu_bytes: size of the emulator's file; 0: not known.
    """

    lock: str
    attendc: str
    set_up: str
    python: str
    qemu: str
    qemu_version: str
    plugin: str
    plugin_source: str
    packages: tuple[Installed, ...]
    emulator: tuple[Installed, ...] = ()
    qemu_bytes: int = 0

    @property
    def unpinned(self) -> list[Installed]:
        """Return the packages that are not those of lock.json."""
        return [p for p in (*self.packages, *self.emulator) if not p.pinned]

    def faults(self, lock: Lock, qemu: Qemu | None) -> list[str]:
        """Return why the machine is not as this attendc and this emulator would make it; it reads small files only."""
        found = []
        if self.lock != lock.digest:
            found.append(f"it was made of other packages, by attendc {self.attendc}")
        if self.plugin_source != source_hash():
            found.append("its plugin was compiled from another source")
        elif self.plugin != plugin_hash():
            found.append("its plugin is not the one that was compiled")
        path = emulator_path()
        if self.qemu_bytes and path is not None and Path(path).stat().st_size != self.qemu_bytes:
            found.append(f"{path} is not the emulator that it was tried with, {self.qemu} {self.qemu_version}")
        elif qemu is not None and self.qemu_version != qemu.version:
            found.append(f"it was tried with qemu {self.qemu_version}, now there is {qemu.version}")
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it as in setup.json."""
        return asdict(self)


def read_record() -> Record | None:
    """Return what setup.json says; None: it is not there, or not to be understood."""
    try:
        told: dict[str, Any] = json.loads(setup_path().read_text(encoding="utf-8"))
        for name in {"packages", "emulator"} & told.keys():
            told[name] = tuple(Installed(**p) for p in told[name])
        return Record(**told)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(record: Record) -> None:
    """Write setup.json.

    Raises:
        OutputError: if it cannot be written.
    """
    with replace_file(setup_path()) as beside:
        beside.write_text(json.dumps(record.as_json(), indent=1) + "\n", encoding="utf-8")
