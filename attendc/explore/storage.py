"""Where a study lives: a file of SQLite for the processes of one computer, PostgreSQL or MySQL for many.

Source: Optuna 5.0, `optuna.storages.RDBStorage`: its tables and heartbeats are used. Two of its habits are mended here:
- SQLite reads before it locks, so that two processes can both find a trial waiting and both take it. Each transaction
  takes the write lock at its start instead (the recipe "Serializable isolation" of SQLAlchemy's page on SQLite).
- Processes that start at once on an empty database all make the tables, and all but one fail: they try again.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from attendc.errors import OutputError, UsageError
from attendc.reason import reason_of

__all__ = ["Heartbeat", "LostStorageError", "check_storage", "masked", "open_storage"]

_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgresql"),
    "postgres": ("postgresql+psycopg", "postgresql"),
    "mysql": ("mysql+pymysql", "mysql"),
    "sqlite": ("sqlite", ""),
}
"""What a user writes -> the driver that is meant, and the extra of attendc that brings it."""

_SECRETS = ("password", "passwd", "passfile", "sslpassword")
_TRIES = 8
_SECONDS_TO_LOCK = 60
_SECONDS_TO_CONNECT = 10

LostStorageError = (StorageInternalError, SQLAlchemyError)
"""What Optuna raises where the database does not answer."""


@dataclass(frozen=True)
class Heartbeat:
    """How long a killed process goes unnoticed.

    Attributes:
        interval: seconds between two signs of life of a trial that is trained.
        grace: seconds without one after which its process counts as killed, and another one trains it.
    """

    interval: int = 15
    grace: int = 60


def open_storage(
    url: str, heartbeat: Heartbeat, killed: Callable[[optuna.Study, FrozenTrial], None] | None = None
) -> RDBStorage:
    """Connect, and make the tables where there are none.

    `killed` is called with each trial that this process found without signs of life, and that it alone has failed.

    Raises:
        UsageError: if the URL is none, its driver is not installed, or nothing answers there.
        OutputError: if the file of SQLite cannot be written.
    """
    address = check_storage(url)
    # Optuna fills in {SCHEMA_VERSION} by str.format, to which a brace in a password would be one more field.
    text = address.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    for attempt in range(_TRIES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are one since Optuna 2.9
                optuna.logging.set_verbosity(optuna.logging.WARNING)
                storage = RDBStorage(
                    text,
                    engine_kwargs=_engine_options(address),
                    heartbeat_interval=heartbeat.interval,
                    grace_period=heartbeat.grace,
                    heartbeat_stale_trial_callback=killed,
                )
            return _serialised(storage)
        except RuntimeError as e:  # tables of another version
            raise UsageError(f"the study at {masked(url)} is of another Optuna: {_said(e)}") from e
        except (SQLAlchemyError, AssertionError) as e:  # the tables are being made by another process
            if attempt == _TRIES - 1:
                raise UsageError(f"no tables can be made at {masked(url)}: {_said(e)}") from e
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("the last attempt returns or raises")


def check_storage(url: str) -> URL:
    """Connect once, and return the URL with its driver; nothing is made there but the file of SQLite.

    Raises:
        UsageError: if the URL is none, its driver is not installed, or nothing answers there.
        OutputError: if the file of SQLite cannot be opened.
    """
    address = _address(url)
    _check_answers(address, masked(url))
    return address


def masked(url: str) -> str:
    """Return the URL without any password, as it may be printed and written.

    Raises:
        UsageError: if it is no URL.
    """
    address = _parsed(url)
    for name in address.query:
        if name.lower() in _SECRETS:
            address = address.update_query_dict({name: "***"})
    return address.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as e:
        raise UsageError(  # without the text, in which a password may stand
            "--storage is no URL of a database",
            hint="For example --storage postgresql://user:password@host/database, or leave it out for a file",
        ) from e


def _address(url: str) -> URL:
    """Return the URL with the driver that attendc installs."""
    address = _parsed(url)
    name = address.drivername.split("+")[0]
    if name not in _DRIVERS:
        raise UsageError(
            f"--storage {masked(url)} is a {name}, which studies cannot live in",
            hint="Give postgresql://, mysql:// or sqlite:///",
        )
    driver, extra = _DRIVERS[name]
    if name == "sqlite" and address.database in (None, "", ":memory:"):
        raise UsageError(f"--storage {masked(url)} names no file", hint="For example --storage sqlite:///study.db")
    address = address.set(drivername=driver) if "+" not in address.drivername else address
    try:
        address.get_dialect().import_dbapi()
    except (ImportError, NoSuchModuleError) as e:
        install = f'pip install "attendc[{extra}]"' if extra else f"leave out {address.drivername.partition('+')[2]}"
        raise UsageError(f"the driver of --storage {masked(url)} is not installed ({e})", hint=install) from e
    return address


def _check_answers(address: URL, shown: str) -> None:
    engine = sqlalchemy.create_engine(address, **_engine_options(address))
    try:
        with engine.connect() as connection:
            sqlalchemy.inspect(connection).get_table_names()
    except (SQLAlchemyError, TypeError, ValueError) as e:  # drivers raise the last two for options they do not know
        if address.drivername == "sqlite":
            raise OutputError(f"cannot open the study {address.database}: {_said(e)}") from e
        raise UsageError(
            f"no database answers at {shown}: {_said(e)}",
            hint="Check host, user, password and database, and that the database exists",
        ) from e
    finally:
        engine.dispose()


def _engine_options(address: URL) -> dict[str, Any]:
    if address.drivername == "sqlite":
        return {"connect_args": {"timeout": _SECONDS_TO_LOCK}}
    # A connection may be closed while a trial is trained: each is looked at before it is used.
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": _SECONDS_TO_CONNECT}}


def _serialised(storage: RDBStorage) -> RDBStorage:
    """Let SQLite take the write lock when a transaction begins."""
    if storage.engine.name != "sqlite":
        return storage
    storage.engine.dispose()  # those made before would go on without

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def leave_begin_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return storage


def _said(error: BaseException) -> str:
    """Return what the driver said, without the statement and the link that SQLAlchemy adds."""
    return reason_of(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
