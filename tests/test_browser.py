"""Where tests of pages find their browser, and what becomes of them without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import find_browser, open_browser


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder which is all there is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ATTENDC_CHROMIUM", raising=False)
    monkeypatch.delenv("ATTENDC_REQUIRE_BROWSER", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_it_is_found_on_path(nothing: Path, name: str) -> None:
    path = nothing / name
    path.touch(0o755)
    assert find_browser() == str(path)


def test_the_variable_goes_first(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing / "chromium").touch(0o755)
    monkeypatch.setenv("ATTENDC_CHROMIUM", "/opt/other")
    assert find_browser() == "/opt/other"


def test_without_a_browser_tests_are_skipped_with_the_reason(nothing: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="there is no browser"), open_browser():
        pass


def test_where_a_browser_is_required_they_fail(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENDC_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="there is no browser"), open_browser():
        pass
