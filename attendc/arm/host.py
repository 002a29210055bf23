"""The programs of this host that the emulated machine needs: which are there, and what to type for those that are not.

Tried with qemu 7.2 (Debian 12). Debian 13 builds its qemu-user 10.0 without plugins, so that it cannot count; the
words for that case come from trying it.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from attendc.arm.cores import CORES
from attendc.errors import UsageError

__all__ = ["EMULATOR", "KEYRING", "Qemu", "check_host", "find_qemu", "how_to_install", "missing_tools", "qemu_faults"]

EMULATOR = "qemu-aarch64"
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
_SECONDS = 20


@dataclass(frozen=True)
class Qemu:
    """The emulator that is on PATH.

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
    """Return the emulator on PATH, or None."""
    path = shutil.which(EMULATOR)
    if path is None:
        return None
    version = re.search(r"version (\d[\w.]*)", _said(path, "--version"))
    cores = re.findall(r"[\w-]+", _said(path, "-cpu", "help").partition(":")[2])
    return Qemu(path, version[1] if version else "0", "-plugin" in _said(path, "-h"), frozenset(cores))


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    return done.stdout


def qemu_faults(qemu: Qemu) -> list[str]:
    """Return what keeps this emulator from counting on the cores, with what to do about it."""
    faults = []
    if not qemu.has_plugins:
        faults.append(
            f"{qemu.path} ({qemu.version}) was built without plugins, which count the instructions; Debian 13's is. "
            "Debian 12's and Ubuntu 24.04's have them; or build qemu with "
            "./configure --target-list=aarch64-linux-user --enable-plugins, and put it first on PATH"
        )
    unknown = sorted({c.emulated_as or c.name for c in CORES.values()} - qemu.cores)
    if unknown:
        faults.append(f"{qemu.path} ({qemu.version}) does not know {', '.join(unknown)}; 7.2 does: install a newer one")
    return faults


def missing_tools(*, download: bool) -> list[str]:
    """Return the programs and files that are not there; those for downloading only where that is needed."""
    wanted = (*_ALWAYS, *(_TO_DOWNLOAD if download else ()))
    return [name for name in wanted if not _is_there(name)]


def _is_there(name: str) -> bool:
    if name == "pip":
        return importlib.util.find_spec("pip") is not None
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


def check_host(*, download: bool) -> Qemu:
    """Return the emulator, when all that is needed is there.

    Raises:
        UsageError: naming everything that is missing at once.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(f"cores are emulated on Linux only, this is {sys.platform}", hint="Use --on ssh:USER@BOARD")
    missing = missing_tools(download=download)
    if missing:
        raise UsageError(f"the emulated machine needs {', '.join(missing)}", hint=how_to_install(missing))
    qemu = find_qemu()
    if qemu is None:
        raise UsageError(f"{EMULATOR} is gone from PATH", hint=how_to_install([EMULATOR]))
    faults = qemu_faults(qemu)
    if faults:
        raise UsageError("; ".join(faults))
    return qemu
