"""What the emulated machine is made of: lock.json names every package with its version and its hash.

`scripts/make_arm_lock.py` makes the file anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["LOCK_PATH", "Lock", "Package", "read_lock"]

LOCK_PATH = Path(__file__).parent / "lock.json"


@dataclass(frozen=True)
class Package:
    """One file to unpack.

    Attributes:
        kind: `deb`, of Debian for arm64, or `wheel`, of PyPI.
        name: as apt or pip knows it.
        version: of the package.
        file: the name of the file, as apt or pip gives it.
        sha256: of the file.
    """

    kind: Literal["deb", "wheel"]
    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Lock:
    """Attributes:
    suite: Debian's release.
    packages: in the order in which they are unpacked.
    digest: tells one lock from another.
    """

    suite: str
    packages: tuple[Package, ...]
    digest: str


@cache
def read_lock(path: Path = LOCK_PATH) -> Lock:
    """Return what stands in lock.json."""
    text = path.read_bytes()
    told = json.loads(text)
    return Lock(told["suite"], tuple(Package(**p) for p in told["packages"]), hashlib.sha256(text).hexdigest()[:16])
