"""The wheels that are carried to a board: for its processor, its C library and its Python, which needs no network.

For the Python of the emulated machine they are the files of lock.json; for another one, pip on this computer downloads
the same versions. Both are kept in the cache.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attendc.arm.board.connection import Look
from attendc.arm.machine.host import has_pip, how_to_install
from attendc.arm.machine.lock import Package
from attendc.arm.machine.sysroot import arm_folder
from attendc.arm.machine.wheels import download_wheel, run_pip
from attendc.context import Context
from attendc.errors import UsageError
from attendc.files import sha256

__all__ = ["carried_wheels", "is_supported", "why_no_wheels"]

_LOCKED_MACHINE, _LOCKED_PYTHON = "aarch64", (3, 11)
_LEAST_GLIBC = 28
"""Of glibc 2: what the wheels of the lock are built for."""
_OLDEST_MANYLINUX = 17
_TAIL = 300


def is_supported(look: Look) -> bool:
    """Return whether there are runtimes for a board at all; on a kernel of 64 bits the system can be one of 32."""
    return look.bits == 64 and look.machine in ("aarch64", "x86_64")


def why_no_wheels(look: Look) -> str:
    """Return why a board takes none of the wheels, as a sentence without its subject; empty: it takes them."""
    if not is_supported(look):
        return f"has a Python of {look.bits} bits on {look.machine}, for which there are no runtimes"
    if _glibc(look) < _LEAST_GLIBC:
        return f"has {look.libc or 'no GNU C library'}, and the runtimes need glibc 2.{_LEAST_GLIBC}"
    if look.python < _LOCKED_PYTHON:
        return f"has a Python older than {'.'.join(map(str, _LOCKED_PYTHON))}, which the runtimes need"
    return ""


def _glibc(look: Look) -> int:
    found = re.fullmatch(r"glibc 2\.(\d+).*", look.libc)
    return int(found[1]) if found else 0


def carried_wheels(packages: Sequence[Package], look: Look, context: Context) -> list[Path]:
    """Return the wheels of these packages for a board, downloading those that are not there yet.

    Raises:
        UsageError: with what pip said, if it cannot get one.
    """
    if (look.machine, look.python[:2]) == (_LOCKED_MACHINE, _LOCKED_PYTHON):
        folder = arm_folder() / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        return [_locked(package, folder, context) for package in packages]
    major, minor, _ = look.python
    folder = arm_folder() / "boards" / f"{look.machine}-glibc2.{_glibc(look)}-python{major}.{minor}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [p for p in packages if _found(p, folder) is None]
    if missing:
        context.say(f"downloading {', '.join(p.name for p in missing)} for Python {major}.{minor} on {look.machine}")
        _download(missing, look, folder)
    return [path for p in packages if (path := _found(p, folder)) is not None]


def _locked(package: Package, folder: Path, context: Context) -> Path:
    path = folder / package.file
    if not path.is_file() or sha256(path) != package.sha256:
        context.say(f"downloading {package.file}")
        path.unlink(missing_ok=True)
        download_wheel(package, folder)
    return path


def _found(package: Package, folder: Path) -> Path | None:
    name = re.sub(r"[-_.]+", "_", package.name)
    return next((p for p in folder.glob(f"{name}-{package.version}-*.whl")), None)


def _download(packages: Sequence[Package], look: Look, folder: Path) -> None:
    """Let pip download wheels, by the hashes that its index tells; they come into `folder` whole."""
    if not has_pip():
        raise UsageError("this Python has no pip, which gets wheels for boards", hint=how_to_install(["pip"]))
    tags = [f"manylinux_2_{minor}" for minor in range(_glibc(look), _OLDEST_MANYLINUX - 1, -1)]
    platforms = [f"{tag}_{look.machine}" for tag in (*tags, "manylinux2014")]
    python = ".".join(map(str, look.python[:2]))
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=folder) as beside:
        done = run_pip([f"{p.name}=={p.version}" for p in packages], python, platforms, Path(beside))
        if done.returncode != 0:
            raise _pip_error(done.stderr, f"Python {python} on {look.machine}")
        for path in Path(beside).glob("*.whl"):
            path.replace(folder / path.name)


def _pip_error(said: str, what_for: str) -> UsageError:
    own = "use --runtime own and --remote-python, with a Python on the board that has the runtimes"
    if "Retrying" in said:
        return UsageError(f"pip reaches no index of packages for {what_for}", hint=f"Mend the network, or {own}")
    errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR")] or [said]
    return UsageError(f"pip has no runtimes for {what_for}: {errors[-1][-_TAIL:]}", hint=own[0].upper() + own[1:])
