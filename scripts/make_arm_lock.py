"""Make attendc/arm/machine/lock.json anew: what Debian has now, and the wheels of the versions in constraints.txt.

    python scripts/make_arm_lock.py

Needs what `attendc arm setup` needs to download. Look at the difference, run the tests of the emulated machine, commit.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from attendc.arm.machine.apt import Apt
from attendc.arm.machine.lock import LOCK_PATH, Kind, Package
from attendc.arm.machine.wheels import pip_download
from attendc.files import sha256

ROOT = Path(__file__).parent.parent
SUITE = "bookworm"
DEBS = (
    "libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5", "libssl3",
    "libuuid1", "libsqlite3-0", "libgomp1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
    "python3.11",
)  # fmt: skip
"""Python 3.11 and what it and the wheels load."""
EMULATOR = (
    "libc6", "zlib1g", "libcapstone4", "libnuma1", "liburing2", "libglib2.0-0", "libgnutls30", "libgcc-s1",
    "libpcre2-8-0", "libp11-kit0", "libidn2-0", "libunistring2", "libtasn1-6", "libnettle8", "libhogweed6", "libgmp10",
    "libffi8", "qemu-user",
)  # fmt: skip
"""qemu for x86-64 and every library that it loads, the C library too."""
WHEELS = ("ai-edge-litert", "onnxruntime", "numpy", "backports.strenum", "flatbuffers", "tqdm", "typing_extensions")
"""The runtimes and what they import."""


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packages = [
            *debs(folder / "arm64", "deb", DEBS),
            *wheels(folder / "wheels"),
            *debs(folder / "amd64", "emulator", EMULATOR),
        ]
    told = {"suite": SUITE, "packages": [asdict(p) for p in packages]}
    LOCK_PATH.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def debs(folder: Path, kind: Kind, names: Sequence[str]) -> list[Package]:
    """Return the packages as the archive has them, with the hashes of its signed lists."""
    folder.mkdir()
    apt = Apt(folder, SUITE, kind)
    apt.update()
    found = apt.newest(names)
    return [found[name] for name in names]


def wheels(folder: Path) -> list[Package]:
    """Return the wheels as PyPI has them."""
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    pip_download([f"{name}=={versions[name]}" for name in WHEELS], folder)
    files = {_normal(path.name.partition("-")[0]): path for path in folder.glob("*.whl")}
    found = [(name, files[_normal(name)]) for name in WHEELS]
    return [Package("wheel", name, versions[name], path.name, sha256(path)) for name, path in found]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
