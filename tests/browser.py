"""A headless Chromium for tests that look at pages as people do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser() -> str | None:
    """Return the path of a browser: $ATTENDC_CHROMIUM, else the first of NAMES on PATH."""
    return os.environ.get("ATTENDC_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Give a running browser; without one, skip the test, or fail it where $ATTENDC_REQUIRE_BROWSER is set."""
    path = find_browser()
    if path is None:
        reason = f"there is no browser: none of {', '.join(NAMES)} on PATH, and $ATTENDC_CHROMIUM is not set"
        if os.environ.get("ATTENDC_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
