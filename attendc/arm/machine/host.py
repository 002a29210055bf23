"""The programs of this host that the emulated machine needs: which are there, and what to type for those that are not.

Tried with qemu 7.2 (Debian 12). Debian 13's qemu-user 10.0 was tried too: it is built without plugins and cannot count,
which is told; that of Debian 12 can be brought into the machine's folder instead. The interface for plugins since qemu
9.0 was tried with the system emulator of 10.0: a bare loop was counted exactly.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from attendc.arm.cores import CORES
from attendc.arm.machine.sysroot import EMULATOR, emulator_path
from attendc.errors import UsageError

__all__ = [
    "KEYRING",
    "OWN_EMULATOR",
    "Qemu",
    "check_emulator",
    "check_tools",
    "find_qemu",
    "has_pip",
    "how_to_install",
    "missing_tools",
    "qemu_faults",
    "said",
]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""The public keys of the Debian archive: apt checks with them that its lists are Debian's."""

_ALWAYS = (EMULATOR, "cc", "dpkg-deb")
_TO_DOWNLOAD = ("apt-get", str(KEYRING), "pip")
_PACKAGES = {
    "debian": {
        EMULATOR: "qemu-user",
        "cc": "gcc libc6-dev",
        "dpkg-deb": "dpkg",
        "apt-get": "apt",
        "ssh": "openssh-client",
        str(KEYRING): "debian-archive-keyring",
    },
    "fedora": {
        EMULATOR: "qemu-user",
        "cc": "gcc",
        "dpkg-deb": "dpkg",
        "apt-get": "apt",
        "ssh": "openssh-clients",
        str(KEYRING): "debian-keyring",
    },
}
_INSTALL = {"debian": "sudo apt-get install", "fedora": "sudo dnf install"}
_FAMILIES = {"debian": "debian", "ubuntu": "debian", "fedora": "fedora", "rhel": "fedora"}
OWN_EMULATOR = "attendc arm setup --own-emulator"
_SECONDS = 60


@dataclass(frozen=True)
class Qemu:
    """The emulator: the machine's own, or that on PATH.

    Attributes:
        path: where.
        version: as it tells, such as 7.2.22.
        has_plugins: whether it was built with them.
        cores: that it knows.
    """

    path: str
    version: str
    has_plugins: bool
    cores: frozenset[str]

    @property
    def plugin_api(self) -> int:
        """Return the version of the plugins' interface to compile for: 2 since qemu 9.0, which refuses 1."""
        return 2 if int(self.version.partition(".")[0] or 0) >= 9 else 1


def find_qemu() -> Qemu | None:
    """Return the emulator that is used, or None."""
    path = emulator_path()
    if path is None:
        return None
    version = re.search(r"version (\d[\w.]*)", said(path, "--version"))
    cores = re.findall(r"[\w-]+", said(path, "-cpu", "help").partition(":")[2])
    return Qemu(path, version[1] if version else "0", "-plugin" in said(path, "-h"), frozenset(cores))


def said(*command: str) -> str:
    """Return what a program prints; nothing if it cannot be started, such as one for another processor."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout or done.stderr


def qemu_faults(qemu: Qemu) -> list[str]:
    """Return what keeps this emulator from counting on the cores, with what to do about it."""
    faults = []
    if not qemu.has_plugins:
        faults.append(
            f"{qemu.path} ({qemu.version}) was built without plugins, which count the instructions (Debian 13's is)"
        )
    unknown = sorted({c.emulated_as or c.name for c in CORES.values()} - qemu.cores)
    if unknown:
        faults.append(f"{qemu.path} ({qemu.version}) does not know {', '.join(unknown)}; 7.2 does")
    return faults


def missing_tools(*, download: bool) -> list[str]:
    """Return the programs and files that are not there; those for downloading only where that is needed."""
    wanted = (*_ALWAYS, *(_TO_DOWNLOAD if download else ()))
    return [name for name in wanted if not _is_there(name)]


def has_pip() -> bool:
    """Return whether this Python has pip. Looking for its module would let setuptools replace distutils, and warn."""
    return any(True for _ in importlib.metadata.distributions(name="pip"))


def _is_there(name: str) -> bool:
    if name == "pip":
        return has_pip()
    if name == EMULATOR:
        return emulator_path() is not None
    return Path(name).is_file() if name.startswith("/") else shutil.which(name) is not None


def how_to_install(names: Iterable[str]) -> str:
    """Return what to type on this system for programs that are missing."""
    wanted = list(names)
    hints = []
    system = [n for n in wanted if n != "pip"]
    family = _family()
    if system and family:
        packages = " ".join(_PACKAGES[family][n] for n in system)
        hints.append(f"Type: {_INSTALL[family]} {packages}")
    elif system:
        packages = " ".join(_PACKAGES["debian"][n] for n in system)
        hints.append(f"Install what Debian calls {packages}")
    if EMULATOR in wanted:
        hints.append(f"or, for an emulator of its own: {OWN_EMULATOR}")
    if "pip" in wanted:
        hints.append(f"Type: {sys.executable} -m ensurepip")
    return "; ".join(hints)


def _family() -> str | None:
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return None
    names = [told.get("ID", ""), *told.get("ID_LIKE", "").split()]
    return next((_FAMILIES[n] for n in names if n in _FAMILIES), None)


def check_tools(*, download: bool, own_emulator: bool) -> None:
    """Check that the programs are there.

    Raises:
        UsageError: naming everything that is missing at once.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(f"cores are emulated on Linux only, this is {sys.platform}", hint="Use --on ssh:USER@BOARD")
    if own_emulator and platform.machine() != "x86_64":
        raise UsageError(f"--own-emulator is for x86-64, this is {platform.machine()}", hint=how_to_install([EMULATOR]))
    missing = [n for n in missing_tools(download=download) if not (own_emulator and n == EMULATOR)]
    if missing:
        raise UsageError(f"the emulated machine needs {', '.join(missing)}", hint=how_to_install(missing))


def check_emulator() -> Qemu:
    """Return the emulator that is used, when it can count on all cores.

    Raises:
        UsageError: if there is none, or it cannot.
    """
    qemu = find_qemu()
    if qemu is None:
        raise UsageError(f"there is no {EMULATOR}", hint=how_to_install([EMULATOR]))
    faults = qemu_faults(qemu)
    if faults:
        raise UsageError("; ".join(faults), hint=f"Type: {OWN_EMULATOR}; or put another one first on PATH")
    return qemu
