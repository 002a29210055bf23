"""URLs of storages: which driver is meant, what is told of a wrong one, and that no password is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from attendc.errors import OutputError, UsageError
from attendc.explore.storage import Heartbeat, masked, open_storage


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@host:5433/studies", "postgresql://ada:***@host:5433/studies"),
        ("mysql://ada:secret@host/studies", "mysql://ada:***@host/studies"),
        ("postgresql://host/s?user=ada&password=secret", "postgresql://host/s?password=***&user=ada"),
        ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert masked(url).replace("%2A", "*") == shown


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("study.db", "--storage is no URL of a database. For example --storage postgresql://"),
        ("redis://host/0", "redis, which studies cannot live in. Give postgresql://, mysql:// or sqlite:///"),
        ("sqlite://", "names no file"),
        (
            "postgresql://ada:secret@127.0.0.1:1/studies",
            "no database answers at postgresql://ada:***@127.0.0.1:1/studies",
        ),
        ("mysql://ada:secret@127.0.0.1:1/studies", "no database answers at mysql://ada:***@127.0.0.1:1/studies"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_in_a_line(url: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_storage(url, Heartbeat())
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("url", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_driver_that_is_missing_is_told_with_what_installs_it(
    url: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)  # as if it were not installed
    with pytest.raises(UsageError) as raised:
        open_storage(f"{url}://ada:secret@host/studies", Heartbeat())
    assert raised.value.hint == f'pip install "attendc[{url}]"'
    assert f"the driver of --storage {url}://ada:***@host/studies is not installed" in raised.value.message


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot open the study .*/nowhere/study\.db: unable to open"):
        open_storage(f"sqlite:///{tmp_path}/nowhere/study.db", Heartbeat())


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("something else, long enough to be no header of SQLite" * 4)
    with pytest.raises(OutputError, match="file is not a database"):
        open_storage(f"sqlite:///{tmp_path}/study.db", Heartbeat())
