"""The cache of stages among processes: two that want the same, one that is killed, one that prunes.

Each process runs a text of Python; it prints a line when it has got somewhere, and a line on its stdin lets it go on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from attendc.runner.cache import StageCache, stage_key

KEY = stage_key({"step": "qat"})

HEAD = """
import os, signal, sys
from pathlib import Path
from attendc.runner.cache import StageCache, stage_key

KEY = stage_key({"step": "qat"})

def tell(text):
    print(text, flush=True)

def wait():
    sys.stdin.readline()

def fill(building):
    (building.folder / "model.pt").write_bytes(b"the model")
    (building.folder / "more").mkdir()
    (building.folder / "more" / "rows.json").write_bytes(b"[]")

cache = StageCache(Path(sys.argv[1]), say=lambda text: tell("said: " + text))
"""

BUILD_IF_MISSING = """
with cache.building(KEY) as building:
    tell("got the lock")
    if cache.find(KEY) is None:
        wait()
        fill(building)
        building.commit({"by": os.getpid()})
        tell("built")
    else:
        tell("found")
"""

HOLD = """
with cache.building(KEY) as building:
    (building.work / "epoch.pt").write_bytes(b"3")
    tell("got the lock")
    wait()
"""


class Process:
    """A process beside the test, as a user's second terminal."""

    def __init__(self, code: str, root: Path) -> None:
        command = [sys.executable, "-c", HEAD + code, str(root)]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tells(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def rest(self) -> list[str]:
        """Return what it still prints, after its end without a fault."""
        out, _ = self.popen.communicate(timeout=30)
        assert self.popen.returncode == 0
        return out.splitlines()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate(timeout=30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stages"


@contextmanager
def running(code: str, root: Path) -> Iterator[Process]:
    process = Process(code, root)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.kill()
        for pipe in (process.popen.stdin, process.popen.stdout):
            if pipe is not None:
                pipe.close()


def folders_left(root: Path) -> dict[str, list[str]]:
    parts = ("entries", "work", "tmp", "trash", "locks")
    return {p: names for p in parts if (root / p).exists() and (names := sorted(x.name for x in (root / p).iterdir()))}


def test_the_second_waits_says_so_once_and_finds(root: Path) -> None:
    with running(BUILD_IF_MISSING, root) as first, running(BUILD_IF_MISSING, root) as second:
        both = {first.tells(): first}
        both[second.tells()] = second
        waiting = f"said: another process is busy with the stage {KEY[:12]}; waiting for it"
        assert both.keys() == {"got the lock", waiting}
        both["got the lock"].go_on()
        assert both["got the lock"].rest() == ["built"]
        assert both[waiting].rest() == ["got the lock", "found"]
    assert folders_left(root) == {"entries": [KEY], "locks": [KEY]}


def test_other_keys_are_not_waited_for(root: Path) -> None:
    with running(HOLD, root) as other:
        assert other.tells() == "got the lock"
        with StageCache(root).building(stage_key({"step": "ptq"})) as building:
            building.commit({})


def test_many_at_once_build_once(root: Path) -> None:
    code = BUILD_IF_MISSING.replace("wait()", "pass")
    with ExitStack() as stack:
        processes = [stack.enter_context(running(code, root)) for _ in range(6)]
        ends = [p.rest()[-1] for p in processes]
    assert sorted(ends) == ["built"] + ["found"] * 5
    assert folders_left(root) == {"entries": [KEY], "locks": [KEY]}


def test_the_lock_of_a_killed_process_is_free_and_its_work_is_there(root: Path) -> None:
    with running(HOLD, root) as killed:
        assert killed.tells() == "got the lock"
        killed.kill()
    with StageCache(root, say=pytest.fail).building(KEY) as building:
        assert (building.work / "epoch.pt").read_bytes() == b"3"


def test_who_waits_for_a_killed_process_goes_on(root: Path) -> None:
    with running(HOLD, root) as killed:
        assert killed.tells() == "got the lock"
        with running(BUILD_IF_MISSING, root) as heir:
            assert "waiting for it" in heir.tells()
            killed.kill()
            assert heir.tells() == "got the lock"
            heir.go_on()
            assert heir.rest() == ["built"]


def test_who_waited_for_a_stage_that_failed_has_a_lock_that_others_see(root: Path) -> None:
    cache = StageCache(root)
    with ExitStack() as stack:
        with pytest.raises(ValueError, match="a bug"), cache.building(KEY):  # noqa: PT012 - fails when it is waited for
            waiting = stack.enter_context(running(HOLD, root))
            assert "waiting for it" in waiting.tells()
            raise ValueError("a bug")  # nothing is left: the file of the lock is removed
        assert waiting.tells() == "got the lock"
        assert cache.prune(older_than_s=None, keep_bytes=None, everything=True).busy == 1


def test_a_forked_worker_that_outlives_a_killed_process_does_not_keep_the_lock(root: Path) -> None:
    fork = """
import time
with cache.building(KEY):
    worker = os.fork()
    if worker == 0:
        os.close(1)  # the test reads to the end of it
        time.sleep(60)
        os._exit(0)
    tell(str(worker))
    wait()
"""
    with running(fork, root) as killed:
        worker = int(killed.tells())
        try:
            killed.kill()
            with StageCache(root, say=pytest.fail).building(KEY) as building:
                building.commit({})
        finally:
            os.kill(worker, 9)


# Killed at any moment

KILLED_AT = """
# Each operation on the file system raises an audit event before it is done; at the n-th of them the child kills itself.
EVENTS = ("open", "os.", "shutil.", "fcntl.", "pathlib.")

def run(n):
    seen = 0
    def watch(event, args):
        nonlocal seen
        if event.startswith(EVENTS) and event not in ("os.kill", "os.fork"):
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    with cache.building(KEY) as building:
        (building.work / "epoch.pt").write_bytes(b"3")
        fill(building)
        building.commit({"step": "qat"})

def check(n):
    entry = cache.find(KEY)
    with cache.building(KEY) as building:
        again = cache.find(KEY)
        assert again == entry, n
        if again is None:
            kept = list(building.work.iterdir())
            assert all(p.name == "epoch.pt" for p in kept), n
            assert list(building.folder.iterdir()) == [], n
            fill(building)
            again = building.commit({"step": "qat"})
    assert again.files.keys() == {"model.pt", "more/rows.json"}, n
    assert [i.state for i in cache.entries()] == ["whole"], n
    cache.prune(older_than_s=None, keep_bytes=None, everything=False)
    for part in ("tmp", "trash", "work"):
        folder = cache.root / part
        assert not folder.exists() or not list(folder.iterdir()), (n, part)
    assert cache.find(KEY) == again, n
    return entry is not None

found = []
for n in range(1, 1000):
    cache = StageCache(Path(sys.argv[1]) / str(n), say=lambda text: sys.exit(f"{n}: {text}"))
    child = os.fork()
    if child == 0:
        run(n)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    found.append(check(n))
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, n
        break
tell(f"{len(found)} {found.index(True)} {all(found[found.index(True):])}")
"""


def test_killed_at_any_moment_the_entry_is_whole_or_missing(root: Path) -> None:
    with running(KILLED_AT, root) as process:
        moments, missing, whole_ever_after = process.rest()[0].split()
    assert 20 < int(missing) < int(moments) - 2  # kills before the rename, and some after it
    assert whole_ever_after == "True"


# Prune beside others


def test_prune_leaves_what_another_process_builds(root: Path) -> None:
    with running(HOLD, root) as other:
        assert other.tells() == "got the lock"
        pruned = StageCache(root).prune(older_than_s=0, keep_bytes=0, everything=True)
        assert (pruned.entries, pruned.busy) == (0, 1)
        assert len(folders_left(root)["tmp"]) == 1
        other.kill()
    pruned = StageCache(root).prune(older_than_s=None, keep_bytes=None, everything=True)
    assert (pruned.entries, pruned.busy) == (1, 0)
    assert folders_left(root) == {}


def test_prune_leaves_what_another_process_reads(root: Path) -> None:
    cache = StageCache(root)
    with cache.building(KEY) as building:
        (building.folder / "model.pt").write_bytes(b"the model")
        building.commit({})
    read = """
with cache.reading(KEY) as entry:
    tell("reads")
    wait()
    entry.copy_to(Path(sys.argv[1]).parent / "copied")
"""
    with running(read, root) as reader, running(read, root) as second:
        assert (reader.tells(), second.tells()) == ("reads", "reads")  # two readers do not wait for each other
        assert cache.prune(older_than_s=None, keep_bytes=0, everything=True).busy == 1
        reader.go_on()
        second.go_on()
        reader.rest()
        second.rest()
    assert (root.parent / "copied" / "model.pt").read_bytes() == b"the model"
    assert cache.prune(older_than_s=None, keep_bytes=0, everything=True).entries == 1
    assert folders_left(root) == {}


def test_building_reading_and_pruning_at_once_never_fails(root: Path) -> None:
    use = """
for n in range(60):
    key = stage_key({"n": n % 3})
    with cache.building(key) as building:
        entry = cache.find(key)
        if entry is None:
            fill(building)
            entry = building.commit({})
        assert (entry.folder / "model.pt").read_bytes() == b"the model"
    with cache.reading(key) as entry:
        assert entry is None or (entry.folder / "more" / "rows.json").read_bytes() == b"[]"
"""
    prune = """
for n in range(60):
    cache.prune(older_than_s=None, keep_bytes=0, everything=True)
    cache.entries()
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(running(code, root)) for code in (use, use, prune, prune)]
        told = [line for p in processes for line in p.rest()]
    assert [line for line in told if "waiting for it" not in line] == []
    StageCache(root).prune(older_than_s=None, keep_bytes=None, everything=True)
    assert folders_left(root) == {}


# A folder of somebody else's


def test_a_cache_without_permission_is_read_and_not_written(temporary_for_all: Path) -> None:
    root = temporary_for_all / "stages"
    with StageCache(root).building(KEY) as building:
        building.commit({"step": "qat"})
    as_nobody = """
from attendc.errors import OutputError
if os.geteuid() == 0:
    import encodings.ascii  # the interpreter itself may lie where nobody may read
    os.setuid(65534)
other = stage_key({"step": "other"})
with cache.reading(KEY) as entry:
    tell(str(entry.meta))
try:
    with cache.building(other):
        tell("began")
except OutputError as e:
    tell(str(e))
try:
    cache.prune(older_than_s=None, keep_bytes=None, everything=True)
except OutputError as e:
    tell(e.message)
"""
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    try:
        with running(as_nobody, root) as process:
            lines = process.rest()
    finally:
        for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
    refused = f"cannot use the cache of stages in {root}: Permission denied"
    hint = "Set ATTENDC_CACHE to a folder that can be written, or use --no-cache"
    assert lines == ["{'step': 'qat'}", f"{refused}. {hint}", refused]


@pytest.fixture
def temporary_for_all() -> Iterator[Path]:
    """Return a folder that other users may read, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
