"""The cache of stages in one process: what is found, what is damaged, and what is refused. See test_cache_processes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cache_entries import CONTENT, KEY, built
from full_disk import files_of_at_most

from attendc.errors import InternalError, OutputError
from attendc.runner.cache import StageCache, stage_key


def everything_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> StageCache:
    return StageCache(tmp_path / "stages", say=said.append)


def test_a_cache_that_was_never_written_finds_nothing_and_makes_nothing(cache: StageCache) -> None:
    with cache.reading(KEY) as entry:
        assert entry is None
    assert cache.find(KEY) is None
    assert cache.entries() == []
    assert cache.prune(older_than_s=None, keep_bytes=None, everything=True).entries == 0
    assert not cache.root.exists()


def test_what_was_committed_is_found(cache: StageCache, tmp_path: Path) -> None:
    entry = built(cache, results={"accuracy": 0.5}, seconds=1.25)
    assert cache.find(KEY) == entry
    assert entry.meta == {"step": "qat", "results": {"accuracy": 0.5}, "seconds": 1.25}
    assert entry.files.keys() == CONTENT.keys()
    entry.copy_to(tmp_path / "run")
    assert {n: (tmp_path / "run" / n).read_bytes() for n in CONTENT} == CONTENT


def test_nothing_is_found_before_the_commit(cache: StageCache) -> None:
    with cache.building(KEY) as building:
        (building.folder / "model.pt").write_bytes(b"half")
        assert cache.find(KEY) is None
        with cache.reading(KEY) as entry:
            assert entry is None
        building.commit({})
        assert cache.find(KEY) is not None
        with cache.reading(KEY) as entry:
            assert entry is not None


def test_the_first_run_is_told_what_later_runs_read(cache: StageCache) -> None:
    assert built(cache, shape=(1, 2), names={1: "a"}).meta == {"step": "qat", "shape": [1, 2], "names": {"1": "a"}}


def test_what_is_not_json_is_refused(cache: StageCache) -> None:
    with pytest.raises(InternalError, match="is no JSON"):
        built(cache, path=Path("x"))
    assert everything_below(cache.root) == set()


def test_a_copy_is_a_file_of_its_own(cache: StageCache, tmp_path: Path) -> None:
    entry = built(cache)
    entry.copy_to(tmp_path / "run", ["model.pt"])
    assert everything_below(tmp_path / "run") == {"model.pt"}
    (tmp_path / "run" / "model.pt").write_bytes(b"edited by the user")
    assert cache.find(KEY) == entry


def test_no_unknown_file_is_copied(cache: StageCache, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"has no file 'other', only \['model.pt', 'tables/rows.json'\]"):
        built(cache).copy_to(tmp_path, ["other"])


def test_an_entry_that_went_meanwhile_is_not_copied_in_part(cache: StageCache, tmp_path: Path) -> None:
    entry = built(cache)
    (entry.folder / "tables" / "rows.json").write_bytes(b"[2]")
    with pytest.raises(OutputError, match=r"tables/rows\.json of .* was removed or changed meanwhile\. Run it again"):
        entry.copy_to(tmp_path / "run")
    cache.prune(older_than_s=None, keep_bytes=None, everything=True)
    with pytest.raises(OutputError, match=r"model\.pt of .* was removed or changed meanwhile"):
        entry.copy_to(tmp_path / "run2")
    assert everything_below(tmp_path / "run") == {"model.pt"}


# Damage


def flip_a_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def other_layout(folder: Path) -> None:
    head, body = (folder / "entry.json").read_text().splitlines()
    (folder / "entry.json").write_text(f"{json.dumps({**json.loads(head), 'layout': 2})}\n{body}\n")


def a_folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: flip_a_byte(f / "files" / "model.pt", 5000), r"model\.pt was changed"),
        (lambda f: os.truncate(f / "files" / "model.pt", 10), r"model\.pt was changed"),
        (lambda f: (f / "files" / "tables" / "rows.json").unlink(), r"tables/rows\.json is missing"),
        (lambda f: a_folder_instead(f / "files" / "model.pt"), r"model\.pt is missing"),
        (lambda f: (f / "entry.json").unlink(), r"entry\.json is missing"),
        (lambda f: os.truncate(f / "entry.json", 0), r"entry\.json cannot be read"),
        (lambda f: os.truncate(f / "entry.json", 40), r"entry\.json cannot be read"),
        (lambda f: os.truncate(f / "entry.json", 200), r"entry\.json was changed"),
        (lambda f: (f / "entry.json").write_bytes(b"\xff\xfe\n\n"), r"entry\.json cannot be read"),
        (lambda f: (f / "entry.json").write_text("[]\n[]\n"), r"entry\.json cannot be read"),
        (other_layout, r"its layout is 2, not 1"),
    ],
)
def test_a_damaged_entry_is_told_removed_and_made_anew(
    cache: StageCache, said: list[str], damage: Callable[[Path], object], told: str
) -> None:
    entry = built(cache)
    damage(entry.folder.parent)
    assert cache.find(KEY) is None
    assert len(said) == 1
    assert re.search(rf"^the cached stage {KEY[:12]} is damaged and will be made again: {told}", said[0])
    assert everything_below(cache.root) == set()
    assert built(cache).files == entry.files
    assert cache.find(KEY) is not None


@pytest.mark.slow
def test_no_byte_of_entry_json_changes_unnoticed(cache: StageCache) -> None:
    size = (built(cache).folder.parent / "entry.json").stat().st_size
    for at in range(size - 1):  # the last byte is the end of the line
        folder = built(cache, results={"accuracy": 0.75}).folder.parent
        flip_a_byte(folder / "entry.json", at)
        assert cache.find(KEY) is None, f"byte {at}"


def test_an_entry_of_another_key_is_damaged(cache: StageCache, said: list[str]) -> None:
    other = stage_key({"step": "ptq"})
    built(cache).folder.parent.rename(cache.root / "entries" / other)
    assert cache.find(other) is None
    assert f"it belongs to {KEY[:12]}" in said[0]


def test_a_damaged_entry_is_found_out_by_the_process_that_builds(cache: StageCache, said: list[str]) -> None:
    (built(cache).folder / "model.pt").unlink()
    with cache.building(KEY) as building:
        assert cache.find(KEY) is None
        assert "is damaged" in said[0]
        building.commit({})
    assert cache.find(KEY) is not None


def test_a_stage_can_be_made_anew_over_a_whole_one(cache: StageCache) -> None:
    built(cache)
    built(cache, content={"other": b"1"})
    found = cache.find(KEY)
    assert found is not None
    assert found.files.keys() == {"other"}
    assert everything_below(cache.root) == {f"entries/{KEY}/{n}" for n in ("entry.json", "files/other")} | {
        f"locks/{KEY}"
    }


# What fails


@pytest.mark.parametrize("reason", [ValueError("a bug"), KeyboardInterrupt(), FileNotFoundError(2, "no", "weights")])
def test_a_stage_that_fails_leaves_only_its_work(cache: StageCache, reason: BaseException) -> None:
    with pytest.raises(type(reason)), cache.building(KEY) as building:  # noqa: PT012 - writes, then fails
        (building.work / "epoch.pt").write_bytes(b"3")
        (building.folder / "model.pt").write_bytes(b"half")
        raise reason
    assert everything_below(cache.root) == {f"work/{KEY}/epoch.pt", f"locks/{KEY}"}
    with cache.building(KEY) as building:
        assert (building.work / "epoch.pt").read_bytes() == b"3"
        assert list(building.folder.iterdir()) == []
        building.commit({})
    assert everything_below(cache.root) == {f"entries/{KEY}/entry.json", f"locks/{KEY}"}


def test_without_work_nothing_is_left_not_even_the_lock(cache: StageCache) -> None:
    with pytest.raises(ValueError, match="a bug"), cache.building(KEY):
        raise ValueError("a bug")
    assert everything_below(cache.root) == set()


def test_a_full_disk_leaves_only_the_work(cache: StageCache) -> None:
    full = r"cannot use the cache of stages in .*: File too large\. Free some space, or set ATTENDC_CACHE"
    with (  # noqa: PT012 - writes, then fails
        pytest.raises(OutputError, match=full),
        files_of_at_most(100_000),
        cache.building(KEY) as building,
    ):
        (building.work / "epoch.pt").write_bytes(b"3")
        (building.folder / "model.pt").write_bytes(bytes(200_000))
    assert everything_below(cache.root) == {f"work/{KEY}/epoch.pt", f"locks/{KEY}"}


def test_a_disk_that_is_full_at_the_commit_leaves_only_the_work(cache: StageCache) -> None:
    with pytest.raises(OutputError, match="File too large"), files_of_at_most(100):  # entry.json has more
        built(cache, content={"small": b"1"})
    assert everything_below(cache.root) == set()
    assert cache.find(KEY) is None


def test_a_cache_below_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = StageCache(tmp_path / "file" / "stages")
    hint = r"Set ATTENDC_CACHE to a folder that can be written, or use --no-cache"
    with pytest.raises(OutputError, match=rf"cannot use the cache of stages in .*stages: Not a directory\. {hint}"):
        built(cache)


def test_a_stage_is_not_begun_within_itself(cache: StageCache) -> None:
    with (
        cache.building(KEY),
        pytest.raises(InternalError, match="is being made by this thread already"),
        cache.building(KEY),
    ):
        pytest.fail("it was begun")


def test_a_stage_is_not_begun_while_this_thread_reads_it(cache: StageCache) -> None:
    built(cache)
    with (
        cache.reading(KEY),
        pytest.raises(InternalError, match="is being read by this thread, which would wait for itself"),
        cache.building(KEY),
    ):
        pytest.fail("it was begun")
    built(cache)


def test_a_stage_is_committed_once(cache: StageCache) -> None:
    with cache.building(KEY) as building:
        building.commit({})
        with pytest.raises(InternalError, match="was committed already"):
            building.commit({})


def test_a_link_is_not_kept(cache: StageCache) -> None:
    with cache.building(KEY) as building:
        (building.folder / "link").symlink_to("/etc/hostname")
        with pytest.raises(InternalError, match="link, which is neither a file nor a folder"):
            building.commit({})
    assert cache.find(KEY) is None


# List and prune


def used_at(cache: StageCache, key: str, moment: float) -> None:
    os.utime(cache.root / "entries" / key / "entry.json", (moment, moment))


@pytest.fixture
def three(cache: StageCache) -> list[str]:
    """Return the keys of entries of 100, 200 and 300 bytes, the least recently used first: 3000, 2000, 1000 s ago."""
    now = time.time()
    keys = [stage_key({"n": n}) for n in range(3)]
    for n, key in enumerate(keys):
        built(cache, key, {"x": bytes(100 * (n + 1))})
        used_at(cache, key, now - 1000 * (3 - n))
    return keys


def left(cache: StageCache) -> list[str]:
    return [i.key for i in cache.entries()]


def test_the_list_tells_what_is_there(cache: StageCache, three: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), cache.building(KEY) as building:  # noqa: PT012 - writes, then fails
        (building.work / "epoch.pt").write_bytes(bytes(7))
        raise KeyboardInterrupt
    (cache.root / "entries" / three[1] / "entry.json").write_text("")
    os.utime(cache.root / "entries" / three[1] / "entry.json", (1, 1))
    infos = cache.entries()
    assert [(i.key, i.step, i.size, i.state) for i in infos] == [
        (three[1], "", 200, "damaged"),
        (three[0], "qat", 100, "whole"),
        (three[2], "qat", 300, "whole"),
        (KEY, "", 7, "unfinished work"),
    ]
    assert infos[2].made > infos[2].last_used > infos[1].last_used
    assert everything_below(cache.root / "entries" / three[0]) == {"entry.json", "files/x"}


def test_finding_an_entry_is_using_it(cache: StageCache, three: list[str]) -> None:
    cache.find(three[0])
    assert left(cache) == [three[1], three[2], three[0]]


@pytest.mark.parametrize(
    ("older_than_s", "keep_bytes", "everything", "stays", "size"),
    [
        (None, None, False, [0, 1, 2], 0),
        (2500.0, None, False, [1, 2], 100),
        (None, 600, False, [0, 1, 2], 0),
        (None, 599, False, [1, 2], 100),
        (None, 499, False, [2], 300),
        (None, 0, False, [], 600),
        (2500.0, 499, False, [2], 300),
        (None, None, True, [], 600),
    ],
)
def test_the_least_recently_used_goes_first(
    cache: StageCache,
    three: list[str],
    older_than_s: float | None,
    keep_bytes: int | None,
    everything: bool,
    stays: list[int],
    size: int,
) -> None:
    pruned = cache.prune(older_than_s=older_than_s, keep_bytes=keep_bytes, everything=everything)
    assert (pruned.entries, pruned.size, pruned.busy) == (3 - len(stays), size, 0)
    assert left(cache) == [three[n] for n in stays]
    assert everything_below(cache.root / "locks") == {three[n] for n in stays}


def test_unfinished_work_is_pruned_by_its_last_change(cache: StageCache) -> None:
    with pytest.raises(KeyboardInterrupt), cache.building(KEY) as building:  # noqa: PT012 - writes, then fails
        (building.work / "epoch.pt").write_bytes(bytes(7))
        raise KeyboardInterrupt
    assert cache.prune(older_than_s=60, keep_bytes=None, everything=False).entries == 0
    for path in (cache.root / "work" / KEY / "epoch.pt", cache.root / "work" / KEY):
        os.utime(path, (1, 1))
    pruned = cache.prune(older_than_s=60, keep_bytes=None, everything=False)
    assert (pruned.entries, pruned.size) == (1, 7)
    assert everything_below(cache.root) == set()


def test_the_lock_that_a_killed_process_left_is_pruned(cache: StageCache) -> None:
    (cache.root / "locks").mkdir(parents=True)
    (cache.root / "locks" / KEY).touch()
    cache.prune(older_than_s=None, keep_bytes=None, everything=False)
    assert everything_below(cache.root) == set()


def test_what_this_thread_builds_is_not_pruned(cache: StageCache) -> None:
    with cache.building(KEY) as building:
        (building.work / "epoch.pt").write_bytes(b"3")
        pruned = cache.prune(older_than_s=None, keep_bytes=0, everything=True)
        assert (pruned.entries, pruned.busy) == (0, 1)
        (building.folder / "x").write_bytes(b"1")
        building.commit({})
    assert cache.find(KEY) is not None
