"""lock.json: which packages the emulated machine is made of."""

from __future__ import annotations

import re
from pathlib import Path

from attendc.arm.machine.lock import read_lock
from attendc.tested import TESTED_PACKAGES

ROOT = Path(__file__).parent.parent.parent
CONSTRAINTS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
PACKAGES = {p.name: p for p in read_lock().packages}


def test_the_runtimes_are_those_of_the_host() -> None:
    wheels = {p.name: p.version for p in PACKAGES.values() if p.kind == "wheel"}
    assert wheels == {name: CONSTRAINTS[name] for name in wheels}
    assert {"ai-edge-litert", "onnxruntime", "numpy"} <= wheels.keys()
    assert all(name not in TESTED_PACKAGES or TESTED_PACKAGES[name] == version for name, version in wheels.items())


def test_each_package_has_a_file_and_a_hash_of_its_own() -> None:
    lock = read_lock()
    packages = [*lock.packages, *lock.emulator]
    assert len({(p.kind, p.name) for p in packages}) == len({p.sha256 for p in packages}) == len(packages) == 23 + 18
    assert all(re.fullmatch("[0-9a-f]{64}", p.sha256) for p in packages)
    for p in packages:
        end = {"deb": "_arm64.deb", "emulator": "_amd64.deb", "wheel": ".whl"}[p.kind]
        assert p.file.endswith(end)
        assert p.version.replace(":", "%3a") in p.file


def test_the_c_library_runs_the_wheels() -> None:
    wanted = [tuple(map(int, m)) for p in PACKAGES.values() for m in re.findall(r"manylinux_(\d+)_(\d+)_", p.file)]
    glibc = tuple(int(part) for part in re.findall(r"\d+", PACKAGES["libc6"].version)[:2])
    assert wanted
    assert max(wanted) <= glibc
