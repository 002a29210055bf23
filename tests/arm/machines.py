"""What the tests of the emulated machine's making share: a PATH with some programs only, folders of packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attendc.arm.machine.lock import read_lock
from attendc.errors import UsageError

__all__ = ["LOCK", "linked", "only", "program", "required", "started"]

ROOT = Path(__file__).parent.parent.parent
LOCK = read_lock()


@contextmanager
def required() -> Iterator[None]:
    """Skip the test where this cannot be done; fail it where $ATTENDC_REQUIRE_ARM is set."""
    try:
        yield
    except UsageError as e:
        if os.environ.get("ATTENDC_REQUIRE_ARM"):
            pytest.fail(str(e))
        pytest.skip(str(e))


@contextmanager
def only(folder: Path, *names: str) -> Iterator[Path]:
    """Leave links to these programs, made in `folder`, on PATH and nothing else."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(str(shutil.which(name)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder))
        yield folder


def program(path: Path, *lines: str) -> None:
    """Write a shell script."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def linked(packages: Path, folder: Path) -> Path:
    """Make a folder with links to the packages, and return it."""
    folder.mkdir()
    for path in packages.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def started(*arguments: str, machine: Path) -> subprocess.Popen[str]:
    """Start `attendc arm setup` for a machine in a folder."""
    command = [sys.executable, "-m", "attendc", "arm", "setup", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ATTENDC_ARM": str(machine)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
