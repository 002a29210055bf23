"""Wheels for boards whose Python is not that of the emulated machine: pip on this computer gets them, once."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from attendc.arm.board.connection import Look
from attendc.arm.board.wheels import carried_wheels
from attendc.arm.machine.lock import Package
from attendc.context import Context
from attendc.errors import UsageError

pytestmark = pytest.mark.slow  # pip is started

BOARD = Look("aarch64", 64, "glibc 2.41", (3, 13, 5), "/usr/bin/python3", {})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip find wheels in this folder only, and keep them in an emulated machine of our own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "arm"))
    return folder


def write_wheel(folder: Path, name: str, tag: str) -> None:
    """Write a wheel of version 1.0 that holds one module."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "")


def package(name: str) -> Package:
    return Package("wheel", name, "1.0", "", "")


def test_the_wheel_for_the_processor_and_python_of_the_board_is_taken_and_kept(index: Path) -> None:
    for tag in ("cp311-cp311-manylinux_2_28_aarch64", "cp313-cp313-manylinux_2_28_x86_64"):
        write_wheel(index, "of_a_board", tag)
    write_wheel(index, "of_a_board", "cp313-cp313-manylinux_2_28_aarch64")
    (wheel,) = carried_wheels([package("of-a.board")], BOARD, Context())
    assert wheel.name == "of_a_board-1.0-cp313-cp313-manylinux_2_28_aarch64.whl"
    for path in index.iterdir():
        path.unlink()
    assert carried_wheels([package("of-a.board")], BOARD, Context()) == [wheel]


def test_a_wheel_for_a_newer_c_library_is_not_taken(index: Path) -> None:
    write_wheel(index, "new", "cp313-cp313-manylinux_2_39_aarch64")
    assert carried_wheels([package("new")], BOARD, Context())
    older = dataclasses.replace(BOARD, libc="glibc 2.36")
    with pytest.raises(UsageError, match=r"pip has no runtimes for Python 3.13 on aarch64: .*new==1.0.*--runtime own"):
        carried_wheels([package("new")], older, Context())


def test_no_network(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UsageError, match=r"pip reaches no index of packages .*Mend the network"):
        carried_wheels([package("far")], BOARD, Context())
