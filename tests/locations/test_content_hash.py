"""What a file, a folder and a data set hash to, and the memo that spares reading them twice."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from attendc.errors import CheckpointError, DataError
from attendc.files import sha256
from attendc.locations import content_hash, data_hash, memo_path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Return a folder of images that have long been there, as far as the memo is concerned."""
    folder = tmp_path / "pets"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an hour pass: a file that was just changed is not remembered, and no test can set the time of its node."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)


def text_hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def reads(path: Path, memo: Path) -> int:
    """Return how many files were opened to hash what is at `path`, the memo itself not counted."""
    code = """
import sys
from pathlib import Path
from attendc.locations import content_hash
import time
now = time.time
time.time = lambda: now() + 3600
path, memo = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, args: event == "open" and str(args[0]).startswith(path) and opened.append(args[0]))
content_hash(Path(path), memo=Path(memo))
print(len(opened))
"""
    return int(subprocess.check_output([sys.executable, "-c", code, str(path), str(memo)], text=True))


def test_a_file_hashes_to_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert content_hash(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_hashes_to_its_names_and_contents_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    listing = f"a\0{text_hash(b'2')}\nb/\0\nb/x\0{text_hash(b'1')}\n"
    assert content_hash(tmp_path) == text_hash(listing.encode())


def test_neither_the_order_of_making_nor_the_place_matters(tmp_path: Path) -> None:
    for place, names in (("one", ["x", "y", "z"]), ("two", ["z", "x", "y"])):
        (tmp_path / place).mkdir()
        for name in names:
            (tmp_path / place / name).write_text(name)
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "cat" / "1.png").write_bytes(b"other"),
        lambda f: (f / "cat" / "1.png").rename(f / "cat" / "3.png"),
        lambda f: (f / "cat" / "1.png").rename(f / "dog" / "3.png"),
        lambda f: (f / "cat" / "1.png").unlink(),
        lambda f: (f / "cat" / ".hidden.png").write_bytes(b""),
        lambda f: (f / "bird").mkdir(),
        lambda f: (f / "cat").rename(f / "catdog"),
    ],
)
def test_every_change_matters(pets: Path, change: Callable[[Path], object]) -> None:
    before = content_hash(pets)
    change(pets)
    assert content_hash(pets) != before


def test_links_are_followed_and_loops_are_not(pets: Path, tmp_path: Path) -> None:
    before = content_hash(pets)
    (pets / "dog").rename(tmp_path / "elsewhere")
    (pets / "dog").symlink_to(tmp_path / "elsewhere")
    assert content_hash(pets) == before
    (pets / "loop").symlink_to(pets)
    looped = content_hash(pets)
    assert looped != before
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"other")
    assert content_hash(pets) != looped


def test_links_that_lead_nowhere_and_pipes_count_by_name(pets: Path) -> None:
    before = content_hash(pets)
    (pets / "broken").symlink_to("nowhere")
    os.mkfifo(pets / "pipe")
    assert content_hash(pets) != before


def test_a_name_that_is_no_utf8_is_hashed(tmp_path: Path, settled: None) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"1")
    memo = tmp_path / "memo.json"
    assert content_hash(folder, memo=memo) == content_hash(folder, memo=memo) == content_hash(folder)


def test_what_is_missing_is_an_error_of_the_type_asked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*none: No such file"):
        content_hash(tmp_path / "none", error=CheckpointError)


# The memo


def test_a_second_look_reads_no_file(pets: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    assert reads(pets, memo) == 3
    assert reads(pets, memo) == 0
    (pets / "cat" / "2.png").write_bytes(b"other")
    assert reads(pets, memo) == 1
    assert reads(pets, memo) == 0


def test_the_memo_changes_no_hash(pets: Path, tmp_path: Path, settled: None) -> None:
    memo = tmp_path / "memo.json"
    for change in (lambda: None, (pets / "cat" / "1.png").unlink, lambda: (pets / "dog" / "2.png").write_bytes(b"2")):
        change()
        assert content_hash(pets, memo=memo) == content_hash(pets, memo=memo) == content_hash(pets)


def test_a_file_is_remembered_like_a_folder(pets: Path, tmp_path: Path) -> None:
    file, memo = pets / "cat" / "1.png", tmp_path / "memo.json"
    assert (reads(file, memo), reads(file, memo)) == (1, 0)


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_of_the_same_size_in_the_place_of_another_is_noticed(
    pets: Path, tmp_path: Path, settled: None, keep_time: bool
) -> None:
    file, memo = pets / "cat" / "1.png", tmp_path / "memo.json"
    before, status = content_hash(pets, memo=memo), file.stat()
    file.write_bytes(b"CAT/1.PNG")
    if keep_time:  # as rsync and tar do
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert content_hash(pets, memo=memo) == content_hash(pets) != before


def test_a_file_that_was_just_changed_is_not_remembered(pets: Path, tmp_path: Path) -> None:
    content_hash(pets, memo=tmp_path / "memo.json")
    assert not (tmp_path / "memo.json").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m.write_bytes(b""),
        lambda m: m.write_bytes(b"\xff\n{}"),
        lambda m: m.write_text("[]"),
        lambda m: os.truncate(m, m.stat().st_size // 2),
        lambda m: m.write_text(m.read_text().replace(text_hash(b"cat/1.png"), text_hash(b"other"))),
        lambda m: m.unlink(),
    ],
)
def test_a_damaged_memo_is_made_anew(
    pets: Path, tmp_path: Path, settled: None, damage: Callable[[Path], object]
) -> None:
    memo = tmp_path / "memo.json"
    expected = content_hash(pets, memo=memo)
    whole = memo.read_bytes()
    damage(memo)
    assert content_hash(pets, memo=memo) == expected
    assert memo.read_bytes() == whole


def test_a_memo_that_cannot_be_written_is_done_without(pets: Path, tmp_path: Path, settled: None) -> None:
    (tmp_path / "file").write_text("")
    assert content_hash(pets, memo=tmp_path / "file" / "memo.json") == content_hash(pets)


def test_processes_at_once_agree_and_leave_a_whole_memo(pets: Path, tmp_path: Path) -> None:
    for n in range(200):
        (pets / "cat" / f"more{n}.png").write_bytes(bytes([n]))
    code = """
import sys, time
from pathlib import Path
from attendc.locations import content_hash
now = time.time
time.time = lambda: now() + 3600
sys.stdin.readline()
print({content_hash(Path(sys.argv[1]), memo=Path(sys.argv[2])) for _ in range(5)}.pop())
"""
    memo = tmp_path / "memo.json"
    with ExitStack() as stack:
        command = [sys.executable, "-c", code, str(pets), str(memo)]
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(4)
        ]
        found = {p.communicate("go on", timeout=60)[0].strip() for p in processes}
    assert found == {content_hash(pets)}
    assert reads(pets, memo) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"pets", "memo.json"}


# Data sets


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ATTENDC_CACHE", str(folder))
    return folder


def test_the_built_in_set_is_hashed_quickly_and_leaves_no_memo(cache: Path) -> None:
    first = data_hash("fashion-mnist-mini")
    started = time.perf_counter()
    assert data_hash("fashion-mnist-mini") == first
    assert time.perf_counter() - started < 0.5  # about 5 ms for 5 MB; the machine may be busy
    assert list(cache.iterdir()) == []


def test_data_elsewhere_is_hashed_with_a_memo_of_its_own(pets: Path, settled: None) -> None:
    assert data_hash(str(pets)) == content_hash(pets)
    assert memo_path(pets).is_file()
    file = pets / "cat" / "1.png"
    assert data_hash(str(file)) == sha256(file)
    assert memo_path(file) != memo_path(pets)


def test_another_copy_of_the_data_has_the_same_hash(pets: Path, tmp_path: Path) -> None:
    shutil.copytree(pets, tmp_path / "copy")
    assert data_hash(str(tmp_path / "copy")) == data_hash(str(pets))


def test_data_that_is_not_there_has_no_hash() -> None:
    assert data_hash("nowhere") == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_data_that_may_not_be_read_is_an_error(pets: Path) -> None:
    (pets / "cat" / "1.png").chmod(0)
    with pytest.raises(DataError, match=r"cannot read .*1\.png: Permission denied"):
        data_hash(str(pets))
