"""Fixtures of the tests of explorations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from explore.postgresql import server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Give the URL of a PostgreSQL server; a test takes a study of its own there."""
    with server() as url:
        yield url
