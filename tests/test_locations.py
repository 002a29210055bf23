"""Inputs and outputs by URI: what is a URI, what is shown of it, fetched once, checked always, delivered whole."""

from __future__ import annotations

import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from attendc.context import Context
from attendc.errors import AttendcError, CheckpointError, DataError, InternalError, OutputError
from attendc.files import cache_folder
from attendc.locations import deliver, fetch, is_uri, redacted
from attendc.locations.uri import scrubbed

# printf 'the weights' | sha256sum
WEIGHTS = b"the weights"
WEIGHTS_SHA256 = "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5"
OTHER_SHA256 = "0" * 64
HAS_AIOHTTP = importlib.util.find_spec("aiohttp") is not None


@dataclass
class Told:
    """A context, and what it was told."""

    said: list[str] = field(default_factory=list)
    bars: list[tuple[str, int, int]] = field(default_factory=list)  # title, total, done

    @property
    def context(self) -> Context:
        return Context(say=self.said.append, progress=self._progress)

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        done = [0]
        yield lambda count, _: done.__setitem__(0, done[0] + count)
        self.bars.append((title, total, done[0]))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[Any]:
    """Return fsspec's file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def fetched(location: str, told: Told, sha256: str = "", error: type[AttendcError] = CheckpointError) -> Path:
    return fetch(location, sha256=sha256, error=error, context=told.context)


def in_cache() -> list[str]:
    folder = cache_folder() / "fetched"
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".attendc.json")


# What is a URI, and what is shown of it


@pytest.mark.parametrize("text", ["s3://bucket/x", "memory://x", "file:///x", "HTTPS://host/x", "abfs+ssl://c/x"])
def test_a_scheme_makes_a_uri(text: str) -> None:
    assert is_uri(text)


@pytest.mark.parametrize(
    "text", ["", "x", "/x", "./x:y", "C:\\x", "C:/x", "C://x", "c:x", "s3:x", "a b://x", "://x", "fashion-mnist-mini"]
)
def test_paths_and_drives_are_no_uris(text: str) -> None:
    assert not is_uri(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/a/b.pt", "s3://bucket/a/b.pt"),
        ("/home/a@b/x?y=z", "/home/a@b/x?y=z"),
        ("ftp://user:secret@host:21/x", "ftp://***@host:21/x"),
        ("ftp://user@host/x", "ftp://***@host/x"),
        ("ftp://user:sec/ret@host/x", "ftp://***@host/x"),
        ("ftp://user:s@cr@t@host/x", "ftp://***@host/x"),
        ("s3://bucket/name@2x.png", "s3://bucket/name@2x.png"),
        ("https://host:8080/x@y", "https://host:8080/x@y"),
        ("https://[::1]:8080/x@y", "https://[::1]:8080/x@y"),
        ("https://host/x?sig=secret&part=1", "https://host/x?sig=***&part=***"),
        ("https://host/x?secret", "https://host/x?***"),
        ("https://host/x#secret", "https://host/x#***"),
        ("https://user:secret@host/x?token=secret#secret", "https://***@host/x?token=***#***"),
    ],
)
def test_secrets_are_not_shown(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


def test_the_text_of_an_error_keeps_the_secrets_too() -> None:
    uri = "https://me:pass%20word@host/x?sig=abcdef&part=7#frag"
    text = f"GET {uri} failed for me (pass word, pass%20word), sig abcdef, frag"
    shown = "GET https://***@host/x?sig=***&part=***#*** failed for *** (***, ***), sig ***, ***"
    assert scrubbed(text, uri) == shown


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


# Over HTTP, from a server of the test's own


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; says no to a name with `closed` and yes to the rest."""

    def do_GET(self) -> None:
        if "closed" in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pt").write_bytes(WEIGHTS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(not HAS_AIOHTTP, reason="fsspec reads http with aiohttp; without it, the package is named: above")
class TestHttp:
    def test_a_file_is_fetched_once(self, server: str, told: Told) -> None:
        first = fetched(f"{server}/net.pt?sig=secret", told, WEIGHTS_SHA256)
        assert (first.name, first.read_bytes()) == ("net.pt", WEIGHTS)
        assert fetched(f"{server}/net.pt?sig=secret", told) == first
        assert len(told.bars) == 1
        assert "secret" not in told.bars[0][0]

    @pytest.mark.parametrize(("name", "reason"), [("none.pt", "nothing is there"), ("closed.pt", "no permission")])
    def test_what_the_server_refuses_is_told(self, server: str, told: Told, name: str, reason: str) -> None:
        with pytest.raises(DataError, match=reason) as caught:
            fetched(f"{server}/{name}?sig=secret", told, error=DataError)
        assert "secret" not in str(caught.value)

    def test_a_server_that_is_not_there_is_told(self, told: Told) -> None:
        with pytest.raises(DataError, match=r"http://\*\*\*@127\.0\.0\.1:1/net\.pt: it is not reached") as caught:
            fetched("http://user:secret@127.0.0.1:1/net.pt", told, error=DataError)
        assert caught.value.hint == "Check the network and the address"
        assert "secret" not in str(caught.value)


# To elsewhere


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "stages").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "zebra.tflite").write_bytes(b"int8")
    (folder / "stages" / "1.json").write_text("[]")
    return folder


def names_in(memory: Any, path: str) -> list[str]:
    return sorted(str(p).removeprefix(f"{path}/") for p in memory.find(path))


def test_a_run_is_delivered_with_its_manifest_last(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one/", told.context)
    assert names_in(memory, "/runs/one") == ["manifest.json", "stages/1.json", "zebra.tflite"]
    assert memory.cat("/runs/one/zebra.tflite") == b"int8"
    assert told.bars == [("writing to memory://runs/one/", 8, 8)]
    last = max(memory.store.values(), key=lambda file: file.created)
    assert last is memory.store["/runs/one/manifest.json"]


def test_a_run_that_is_there_is_kept_without_force(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one", told.context)
    (run / "zebra.tflite").write_bytes(b"new")
    with pytest.raises(OutputError, match=r"memory://runs/one exists already\. Add --force"):
        deliver(run, "memory://runs/one", told.context)
    assert memory.cat("/runs/one/zebra.tflite") == b"int8"


def test_force_replaces_a_run_as_a_whole(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one", told.context)
    (run / "zebra.tflite").unlink()
    (run / "model.onnx").write_bytes(b"new")
    deliver(run, "memory://runs/one", told.context, force=True)
    assert names_in(memory, "/runs/one") == ["manifest.json", "model.onnx", "stages/1.json"]


def test_an_upload_that_stopped_is_taken_up_without_force(memory: Any, run: Path, told: Told) -> None:
    def stop_after_one(title: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        @contextmanager
        def bar() -> Iterator[Callable[[int, str], None]]:
            def advance(count: int, text: str) -> None:
                raise KeyboardInterrupt

            yield advance

        return bar()

    with pytest.raises(KeyboardInterrupt):
        deliver(run, "memory://runs/one", Context(progress=stop_after_one))
    assert names_in(memory, "/runs/one") == ["stages/1.json"]
    deliver(run, "memory://runs/one", told.context)
    assert "manifest.json" in names_in(memory, "/runs/one")


def test_a_run_goes_to_a_file_uri(run: Path, told: Told, tmp_path: Path) -> None:
    deliver(run, (tmp_path / "new" / "deep").as_uri(), told.context)
    assert (tmp_path / "new" / "deep" / "stages" / "1.json").read_text() == "[]"


def test_a_place_that_cannot_be_written_is_told(run: Path, told: Told, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write to file:///.*/file/x \(NotADirectoryError"):
        deliver(run, (tmp_path / "file" / "x").as_uri(), told.context)


def test_a_folder_without_a_manifest_is_no_run(told: Told, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"has no manifest\.json"):
        deliver(tmp_path, "memory://runs/one", told.context)
