"""`attendc cache` as typed, on a cache of three stages: 10 bytes used 40 days ago, 20 an hour ago, 30 just now."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from commands import cells, told

from attendc.cli.main import main
from attendc.files import cache_folder
from attendc.runner.cache import StageCache

pytestmark = pytest.mark.usefixtures("temporary")

STAGES = {"quantize": (10, 40 * 86400), "convert": (20, 3600), "verify": (30, 0)}
"""Name -> (bytes, seconds since it was used)."""
KEYS = {name: digit * 64 for name, digit in zip(STAGES, "abc", strict=True)}


@pytest.fixture
def cache() -> StageCache:
    """Return the user's cache with the three stages."""
    cache = StageCache(cache_folder() / "stages")
    for name, (size, ago) in STAGES.items():
        with cache.building(KEYS[name]) as building:
            (building.folder / "file").write_bytes(b"x" * size)
            building.commit({"step": name})
        then = time.time() - ago - 60
        os.utime(cache.root / "entries" / KEYS[name] / "entry.json", (then, then))
    return cache


def steps(cache: StageCache) -> list[str]:
    return [entry.step for entry in cache.entries()]


# list


def test_list_has_a_row_a_stage_the_longest_unused_first(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list"]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"{cache.root}: stages: 3, bytes: 60\n")
    assert cells(out) == [
        ["quantize", "a" * 12, "whole", "10", "40 d ago"],
        ["convert", "b" * 12, "whole", "20", "1 h ago"],
        ["verify", "c" * 12, "whole", "30", "1 min ago"],
    ]


def test_list_as_json_has_the_whole_keys_and_times(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["folder"] == str(cache.root)
    assert [(e["step"], e["key"], e["size"]) for e in printed["entries"]] == [
        (name, KEYS[name], size) for name, (size, _) in STAGES.items()
    ]
    assert printed["entries"][0].keys() == {"key", "step", "size", "made", "last_used", "state"}


def test_unfinished_work_is_listed_without_a_step(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    work = cache.root / "work" / ("d" * 64)
    work.mkdir(parents=True)
    (work / "train.resume").write_bytes(b"x" * 5)
    assert main(["cache", "list"]) == 0
    assert cells(capfd.readouterr().out)[-1] == ["?", "d" * 12, "unfinished work", "5", "now"]


def test_an_empty_cache_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list"]) == 0
    assert main(["cache", "prune", "--all"]) == 0
    first, *_, last = capfd.readouterr().out.splitlines()
    assert first == f"{cache_folder() / 'stages'}: stages: 0, bytes: 0"
    assert last == f"{cache_folder() / 'stages'}: stages removed: 0, bytes: 0"


# prune


@pytest.mark.parametrize(
    ("given", "left", "size"),
    [
        (["--older-than=30d"], ["convert", "verify"], 10),
        (["--older-than=41d"], ["quantize", "convert", "verify"], 0),
        (["--older-than=59m"], ["verify"], 30),
        (["--older-than=0.5h"], ["verify"], 30),
        (["--older-than=5w"], ["convert", "verify"], 10),
        (["--keep=60"], ["quantize", "convert", "verify"], 0),
        (["--keep=59"], ["convert", "verify"], 10),
        (["--keep=0.03k"], ["verify"], 30),
        (["--keep=1G"], ["quantize", "convert", "verify"], 0),
        (["--older-than=30d", "--keep=30"], ["verify"], 30),
        (["--keep=0"], [], 60),
        (["--all"], [], 60),
    ],
)
def test_prune_removes_what_is_asked_for(
    cache: StageCache, capfd: pytest.CaptureFixture[str], given: list[str], left: list[str], size: int
) -> None:
    assert main(["cache", "prune", *given]) == 0
    assert capfd.readouterr().out == f"{cache.root}: stages removed: {3 - len(left)}, bytes: {size}\n"
    assert steps(cache) == left


def test_prune_as_json(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--all", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"folder": str(cache.root), "entries": 3, "size": 60, "busy": 0}


def test_what_another_run_uses_stays_and_is_told(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    with cache.reading(KEYS["convert"]):
        assert main(["cache", "prune", "--all"]) == 0
    stays = "kept since another run uses them: 1"
    assert capfd.readouterr().out == f"{cache.root}: stages removed: 2, bytes: 40, {stays}\n"
    assert steps(cache) == ["convert"]


def test_what_lies_beside_the_stages_stays(cache: StageCache) -> None:
    beside = cache.root.parent / "fetched" / "x"
    beside.mkdir(parents=True)
    assert main(["cache", "prune", "--all"]) == 0
    assert beside.exists()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "error: nothing says what to remove. Add --older-than 30d, --keep 2G or --all"),
        (["--older-than=30"], "Invalid value for '--older-than': '30' is not an amount such as 12h or 30d"),
        (["--older-than=30G"], "'30G' is not an amount such as 12h or 30d"),
        (["--older-than=-1d"], "'-1d' is not an amount"),
        (["--older-than="], "'' is not an amount"),
        (["--keep=2 gigabytes"], "Invalid value for '--keep': '2 gigabytes' is not an amount such as 500M or 2G"),
        (["--keep=all"], "'all' is not an amount"),
        (["--keep=nan"], "'nan' is not an amount"),
        (["--al"], "No such option '--al'"),
    ],
)
def test_what_cannot_be_meant_exits_with_2_and_removes_nothing(
    cache: StageCache, capfd: pytest.CaptureFixture[str], given: list[str], text: str
) -> None:
    assert main(["cache", "prune", *given]) == 2
    assert text in told(capfd)
    assert len(steps(cache)) == 3


def test_an_error_under_json_is_an_object(cache: StageCache, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["error"]["message"] == "nothing says what to remove"


def test_a_file_in_the_place_of_the_cache_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / "file"))
    for command in (["list"], ["prune", "--all"]):
        assert main(["cache", *command]) == 2
        assert "cannot use the cache of stages in" in told(capfd)
