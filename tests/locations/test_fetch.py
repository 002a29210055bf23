"""Inputs by path or URI: fetched once, checked always."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fetching import OTHER_SHA256, WEIGHTS, WEIGHTS_SHA256, Told, fetched, in_cache
from fsspec.implementations.memory import MemoryFileSystem

from attendc.context import Context
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError
from attendc.files import cache_folder
from attendc.locations import fetch

# Paths


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "with a space" / "net.pt"
    path.parent.mkdir()
    path.write_bytes(WEIGHTS)
    return path


def test_a_path_is_returned_as_it_is(weights: Path, told: Told) -> None:
    assert fetched(str(weights), told) == weights
    assert fetched(str(weights), told, WEIGHTS_SHA256) == weights
    assert fetched("nowhere/net.pt", told) == Path("nowhere/net.pt")  # who opens it says so in its own words
    assert not cache_folder().exists()


def test_a_file_uri_is_a_path(weights: Path, told: Told) -> None:
    assert fetched(weights.as_uri(), told, WEIGHTS_SHA256) == weights
    assert "%20" in weights.as_uri()
    assert fetched(f"file://localhost{weights}", told) == weights


@pytest.mark.parametrize("error", [CheckpointError, DataError])
def test_another_content_is_an_error_with_both_sums(weights: Path, told: Told, error: type[AttendcError]) -> None:
    with pytest.raises(error) as caught:
        fetched(str(weights), told, OTHER_SHA256, error)
    assert caught.value.message == f"{weights} has the sha256 {WEIGHTS_SHA256}, expected was {OTHER_SHA256}"


def test_a_sum_of_nothing_is_an_error(told: Told) -> None:
    with pytest.raises(CheckpointError, match=f"nothing is at nowhere, whose sha256 should be {OTHER_SHA256}"):
        fetched("nowhere", told, OTHER_SHA256)


# From elsewhere


def test_a_file_is_fetched_once(memory: Any, told: Told) -> None:
    memory.pipe("/models/net.pt", WEIGHTS)
    first = fetched("memory://models/net.pt", told)
    assert first.name == "net.pt"
    assert first.read_bytes() == WEIGHTS
    assert cache_folder() / "fetched" in first.parents
    assert fetched("memory://models/net.pt", told) == first
    assert told.bars == [("fetching memory://models/net.pt", len(WEIGHTS), len(WEIGHTS))]
    assert told.said == []


def test_a_new_version_is_fetched_anew_and_the_old_copy_stays(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    old = fetched("memory://net.pt", told)
    memory.pipe("/net.pt", b"new weights")
    assert fetched("memory://net.pt", told).read_bytes() == b"new weights"
    assert old.read_bytes() == WEIGHTS


def test_a_folder_is_fetched_with_all_below(memory: Any, told: Told) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "labels.txt"):
        memory.pipe(f"/sets/pets/{name}", name.encode())
    memory.pipe("/sets/pets2/other.png", b"")
    folder = fetched("memory://sets/pets/", told)
    assert folder.name == "pets"
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {n: n.encode() for n in ("train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "labels.txt")}
    assert fetched("memory://sets/pets/", told) == folder
    assert len(told.bars) == 1


def test_what_has_the_sum_is_not_asked_for_again(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    first = fetched("memory://net.pt", told, WEIGHTS_SHA256)
    memory.store.clear()
    assert fetched("memory://elsewhere/net.pt", told, WEIGHTS_SHA256) == first
    with pytest.raises(CheckpointError, match="nothing is there"):  # a name tells how a file is read
        fetched("memory://net.safetensors", told, WEIGHTS_SHA256)


def test_another_content_is_not_kept(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    with pytest.raises(
        DataError, match=f"memory://net.pt has the sha256 {WEIGHTS_SHA256}, expected was {OTHER_SHA256}"
    ):
        fetched("memory://net.pt", told, OTHER_SHA256, DataError)
    assert in_cache() == []
    fetched("memory://net.pt", told)
    with pytest.raises(CheckpointError, match=f"expected was {OTHER_SHA256}"):
        fetched("memory://net.pt", told, OTHER_SHA256)


@pytest.mark.parametrize("sha256", ["", WEIGHTS_SHA256])
@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: copy.write_bytes(b"the weighty"),
        lambda copy: copy.unlink(),
        lambda copy: (copy.parent / ".attendc.json").unlink(),
        lambda copy: (copy.parent / ".attendc.json").write_text("[]"),
        lambda copy: (copy.parent / ".attendc.json").write_text('{"name": "net.pt"'),
    ],
)
def test_a_damaged_copy_is_fetched_again(
    memory: Any, told: Told, damage: Callable[[Path], object], sha256: str
) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    damage(fetched("memory://net.pt", told))
    assert fetched("memory://net.pt", told, sha256).read_bytes() == WEIGHTS
    assert len(told.bars) == 2
    assert [bool(re.fullmatch(r"the fetched copy .* is damaged and is fetched again", s)) for s in told.said] == [True]


def test_a_file_missing_in_a_fetched_folder_is_noticed(memory: Any, told: Told) -> None:
    memory.pipe({"/pets/cat/1.png": b"1", "/pets/dog/1.png": b"2"})
    folder = fetched("memory://pets", told)
    (folder / "cat" / "1.png").unlink()
    assert (fetched("memory://pets", told) / "cat" / "1.png").read_bytes() == b"1"


def test_nothing_there_is_an_error(memory: Any, told: Told) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read memory://net.pt: nothing is there\. Check the address"):
        fetched("memory://net.pt", told)
    memory.mkdir("/empty")
    with pytest.raises(DataError, match="cannot read memory://empty: nothing is there"):
        fetched("memory://empty", told, error=DataError)


def test_an_unknown_scheme_is_an_error(told: Told) -> None:
    with pytest.raises(CheckpointError, match=r"unknown scheme 'tape' in tape://\*\*\*@host/x\. Known are https, s3"):
        fetched("tape://user:secret@host/x", told)


@pytest.mark.parametrize(
    ("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("https", "aiohttp"), ("sftp", "paramiko")]
)
def test_a_package_that_is_missing_is_named(told: Told, scheme: str, package: str) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(CheckpointError) as caught:
        fetched(f"{scheme}://user:secret@host/x?sig=secret", told)
    assert caught.value.hint == f"pip install {package}"
    assert f"{scheme}:// needs the Python package {package}, which is not installed" in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_told(
    memory: Any, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / "file" / "cache"))
    memory.pipe("/net.pt", WEIGHTS)
    with pytest.raises(OutputError, match=r"cannot write .*fetched: Not a directory\. Set ATTENDC_CACHE"):
        fetched("memory://net.pt", told)


def test_an_interrupted_download_leaves_nothing(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)

    @contextmanager
    def interrupted(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        def advance(count: int, text: str) -> None:
            raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        fetch("memory://net.pt", error=DataError, context=Context(progress=interrupted))
    assert list((cache_folder() / "fetched").iterdir()) == []
    assert fetched("memory://net.pt", told).read_bytes() == WEIGHTS


class OddFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """What is in memory, told wrongly: a byte more than there is, and a file outside of its folder."""

    protocol = "odd"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("odd://").strip("/")

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        told = super().info(path, **kwargs)
        return {**told, "size": told["size"] + 1}

    def find(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {f"{path}/../../evil.py": super().info(f"{path}/1.png")}


@pytest.fixture
def odd() -> None:
    fsspec.register_implementation("odd", OddFileSystem, clobber=True)


@pytest.mark.usefixtures("odd")
def test_a_download_that_ends_early_is_not_kept(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    with pytest.raises(DataError, match=r"odd://net\.pt ended after 11 of 12 bytes \(net\.pt\)\. Run it again"):
        fetched("odd://net.pt", told, error=DataError)
    assert in_cache() == []


@pytest.mark.usefixtures("odd")
def test_no_file_is_written_outside_of_its_folder(memory: Any, told: Told) -> None:
    memory.pipe("/pets/1.png", b"1")
    with pytest.raises(DataError, match=r"odd://pets holds a file '\.\./\.\./evil\.py', which would lie outside"):
        fetched("odd://pets", told, error=DataError)
    assert in_cache() == []


def test_what_a_killed_download_left_goes_after_a_week(memory: Any, told: Told) -> None:
    memory.pipe("/net.pt", WEIGHTS)
    for name, days in ((".part-old", 8), (".part-new", 6)):
        part = cache_folder() / "fetched" / name
        part.mkdir(parents=True)
        os.utime(part, (time.time() - days * 86400,) * 2)
    fetched("memory://net.pt", told)
    assert sorted(p.name for p in (cache_folder() / "fetched").glob(".part-*")) == [".part-new"]


def test_processes_at_once_get_the_same_copy(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(WEIGHTS * 100_000)
    code = """
import sys
from attendc.context import Context
from attendc.errors import DataError
from attendc.locations import fetch
sys.stdin.readline()
print(fetch(sys.argv[1], error=DataError, context=Context()))
"""
    command = [sys.executable, "-c", code, f"local://{tmp_path}/net.pt"]  # unlike file://, copied as if it were far
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    paths = {p.communicate("go on", timeout=60)[0].strip() for p in processes}
    assert [p.returncode for p in processes] == [0] * 4
    assert len(paths) == 1
    assert Path(paths.pop()).read_bytes() == WEIGHTS * 100_000
    assert in_cache() == ["net.pt"]
