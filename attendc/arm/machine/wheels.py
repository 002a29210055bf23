"""The aarch64 wheels, by this Python's pip; it takes only files with the hash that is asked for."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attendc.arm.machine.lock import Package
from attendc.errors import UsageError

__all__ = ["download_wheel", "pip_download", "run_pip"]

_PYTHON = "3.11"
"""That of Debian 12, which is in the emulated machine."""
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""What a C library of 2.36 runs."""
_TAIL = 300


def download_wheel(package: Package, folder: Path) -> None:
    """Put a wheel into `folder`.

    Raises:
        UsageError: with what pip said.
    """
    pip_download([f"{package.name}=={package.version} --hash=sha256:{package.sha256}"], folder)


def pip_download(requirements: Sequence[str], folder: Path) -> None:
    """Put the aarch64 wheels of lines of a requirements file into `folder`, without what they depend on.

    Raises:
        UsageError: with what pip said.
    """
    platforms = [f"{name}_aarch64" for name in _PLATFORMS]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(requirements) + "\n")
        file.flush()
        done = run_pip(["-r", file.name], _PYTHON, platforms, folder)
    if done.returncode != 0:
        names = ", ".join(line.split()[0] for line in requirements)
        errors = " ".join(line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR")) or done.stderr
        raise UsageError(f"pip could not download {names}: {errors[-_TAIL:]}", hint="Try again, or use --offline DIR")


def run_pip(
    wanted: Sequence[str], python: str, platforms: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Let pip download wheels of a CPython for platforms into `folder`, alone, and return what it said.

    `wanted` are requirements, or `-r` and a file of them.
    """
    places = [word for name in platforms for word in ("--platform", name)]
    return subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "download", "-q"),
            *("--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp"),
            *(*places, "--progress-bar", "off", "--dest", str(folder), *wanted),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
