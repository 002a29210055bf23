"""What is there for emulated cores and for boards, part by part, and what to type for what is not."""

from __future__ import annotations

import calendar
import shutil
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from attendc.arm.cores import CORES
from attendc.arm.machine.assemble import cores_are_whole, installed_root
from attendc.arm.machine.host import KEYRING, OWN_EMULATOR, find_qemu, how_to_install, missing_tools, qemu_faults, said
from attendc.arm.machine.lock import read_lock
from attendc.arm.machine.record import Record, read_record
from attendc.arm.machine.sysroot import EMULATOR, arm_folder

__all__ = ["Finding", "State", "examine_arm", "examine_host"]

State = Literal["ok", "missing", "differs"]
_SETUP = "Type: attendc arm setup"
_DAY_S = 86400


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        group: what it belongs to.
        name: of the thing.
        state: `differs`: it is there, but not as attendc is tested with it, or not whole.
        found: version and place, or what is wrong.
        hint: what to type, where it is not ok.
    """

    group: str
    name: str
    state: State
    found: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return asdict(self)


def examine_host() -> list[Finding]:
    """Return the programs: those that emulation needs, those that setting it up needs, and ssh."""
    programs = (("cc", "--version"), ("dpkg-deb", "--version"), ("apt-get", "--version"), ("ssh", "-V"))
    missing = missing_tools(download=True)
    return [
        _emulator(),
        *(_program(name, version) for name, version in programs),
        _needed("Debian's keyring", str(KEYRING), missing),
        _needed("pip", "pip", missing),
    ]


def _needed(name: str, tool: str, missing: list[str]) -> Finding:
    if tool in missing:
        return Finding("host", name, "missing", "", how_to_install([tool]))
    return Finding("host", name, "ok", "" if tool == name else tool)


def _emulator() -> Finding:
    qemu = find_qemu()
    if qemu is None:
        return Finding("host", EMULATOR, "missing", "", how_to_install([EMULATOR]))
    faults = qemu_faults(qemu)
    if faults:
        return Finding(
            "host", EMULATOR, "differs", f"{qemu.version}, {qemu.path}", f"{'; '.join(faults)}. Type: {OWN_EMULATOR}"
        )
    return Finding("host", EMULATOR, "ok", f"{qemu.version} with plugins, {qemu.path}")


def _program(name: str, version: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding("host", name, "missing", "", how_to_install([name]))
    lines = said(path, version).splitlines()
    return Finding("host", name, "ok", f"{lines[0].strip() if lines else 'no version'}, {path}")


def examine_arm() -> list[Finding]:
    """Return the parts of the emulated machine."""
    record = read_record()
    if record is None:
        return [Finding("emulated ARM", "machine", "missing", f"not in {arm_folder()}", _SETUP)]
    return [_machine(record), *_packages(record), *_cores()]


def _machine(record: Record) -> Finding:
    lock = read_lock()
    faults = record.faults(lock, find_qemu())
    if installed_root(lock) != record.packages:
        faults.append("its root is not whole")
    if faults:
        return Finding("emulated ARM", "machine", "differs", f"{arm_folder()}: {'; '.join(faults)}", _SETUP)
    made = calendar.timegm(time.strptime(record.set_up, "%Y-%m-%dT%H:%M:%SZ"))
    days = int(time.time() - made) // _DAY_S
    text = f"Python {record.python}, set up {days} days ago, {arm_folder()}"
    return Finding("emulated ARM", "machine", "ok", text)


def _packages(record: Record) -> list[Finding]:
    wheels = {"ai-edge-litert", "onnxruntime", "numpy"}
    found = [Finding("emulated ARM", p.name, "ok", p.version) for p in record.packages if p.name in wheels]
    total = len(record.packages) + len(record.emulator)
    pinned = f"{total - len(record.unpinned)} of {total} of the tested version"
    if not record.unpinned:
        return [*found, Finding("emulated ARM", "packages", "ok", pinned)]
    others = ", ".join(f"{p.name} {p.version}" for p in record.unpinned)
    hint = "Debian's archive had no others; a newer attendc may know them"
    return [*found, Finding("emulated ARM", "packages", "differs", f"{pinned}; others: {others}", hint)]


def _cores() -> list[Finding]:
    if not cores_are_whole():
        return [Finding("emulated ARM", "cores", "differs", "not as this attendc makes them", _SETUP)]
    texts = {core.name: f"as {core.emulated_as}" if core.emulated_as else "" for core in CORES.values()}
    return [Finding("emulated ARM", name, "ok", text) for name, text in texts.items()]
