"""What tests of the runner share."""

from __future__ import annotations

from pathlib import Path

import pytest
import word_stages

from attendc.files import cache_folder
from attendc.runner.cache import StageCache


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one; recipes may name the stages of `word_stages`."""
    word_stages.register(monkeypatch)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cache() -> StageCache:
    """Return the cache that runs use."""
    return StageCache(cache_folder() / "stages")
