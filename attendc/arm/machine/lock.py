"""What the emulated machine is made of: lock.json names every package with its version and its hash.

`scripts/make_arm_lock.py` makes the file anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["LOCK_PATH", "Kind", "Lock", "Package", "digest_of", "read_lock"]

Kind = Literal["deb", "wheel", "emulator"]
LOCK_PATH = Path(__file__).parent / "lock.json"


@dataclass(frozen=True)
class Package:
    """One file to unpack.

    Attributes:
        kind: `deb`, of Debian for arm64; `wheel`, of PyPI; `emulator`, of Debian for the host, x86-64.
        name: as apt or pip knows it.
        version: of the package.
        file: the name of the file, as apt or pip gives it.
        sha256: of the file.
    """

    kind: Kind
    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Lock:
    """Attributes:
    suite: Debian's release.
    packages: of the machine, in the order in which they are unpacked.
    emulator: of an emulator that needs nothing of the host.
    """

    suite: str
    packages: tuple[Package, ...]
    emulator: tuple[Package, ...]

    @property
    def digest(self) -> str:
        """Return what tells the packages of the machine from others."""
        return digest_of(self.packages)


def digest_of(packages: Iterable[Package]) -> str:
    """Return what tells a list of packages from another one."""
    return hashlib.sha256(" ".join(p.sha256 for p in packages).encode()).hexdigest()[:16]


@cache
def read_lock(path: Path = LOCK_PATH) -> Lock:
    """Return what stands in lock.json."""
    told = json.loads(path.read_text(encoding="utf-8"))
    packages = [Package(**p) for p in told["packages"]]
    emulator = tuple(p for p in packages if p.kind == "emulator")
    return Lock(told["suite"], tuple(p for p in packages if p.kind != "emulator"), emulator)
