"""Runs without a cache: stages live as long as the run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from cache_entries import KEY, built
from full_disk import files_of_at_most

from attendc.errors import OutputError
from attendc.runner.cache import no_cache


def test_without_a_cache_stages_live_as_long_as_the_run(tmp_path: Path) -> None:
    with no_cache(inside=tmp_path) as cache:
        entry = built(cache)
        assert cache.find(KEY) == entry
    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_a_full_disk_tells_of_no_cache_folder(temporary: Path) -> None:
    with no_cache() as cache, pytest.raises(OutputError, match="or set TMPDIR to a folder"), files_of_at_most(100):
        built(cache)
    assert list(temporary.iterdir()) == []


def test_without_a_place_for_it_no_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"cannot write in .*missing: No such file"), no_cache():
        pytest.fail("it was opened")
