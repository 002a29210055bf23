"""A browser, and the page of a full run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import open_browser
from made_up_runs import a_manifest, an_evidence
from playwright.sync_api import Browser

from attendc.report.page import render_report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return a running browser."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return report.html of a run in which everything was measured."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(a_manifest(), an_evidence()), encoding="utf-8")
    return path
