"""Make attendc/arm/lock.json anew: what Debian's archive has now, and the wheels of the versions in constraints.txt.

    python scripts/make_arm_lock.py

Needs what `attendc arm setup` needs to download. Look at the difference, run the tests of the emulated machine, commit.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

from attendc.arm.apt import Apt
from attendc.arm.lock import LOCK_PATH, Package
from attendc.arm.wheels import pip_download
from attendc.files import sha256

ROOT = Path(__file__).parent.parent
SUITE = "bookworm"
DEBS = (
    "libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5", "libssl3",
    "libuuid1", "libsqlite3-0", "libgomp1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
    "python3.11",
)  # fmt: skip
"""Python 3.11 and what it and the wheels load."""
WHEELS = ("ai-edge-litert", "onnxruntime", "numpy", "backports.strenum", "flatbuffers", "tqdm", "typing_extensions")
"""The runtimes and what they import."""


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as name:
        packages = [*debs(Path(name) / "apt"), *wheels(Path(name) / "wheels")]
    told = {"suite": SUITE, "packages": [asdict(p) for p in packages]}
    LOCK_PATH.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def debs(folder: Path) -> list[Package]:
    """Return the packages as the archive has them, with the hashes of its signed lists."""
    folder.mkdir()
    apt = Apt(folder, SUITE)
    apt.update()
    found = apt.newest(DEBS)
    return [found[name] for name in DEBS]


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
