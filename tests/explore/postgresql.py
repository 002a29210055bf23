"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["PASSWORD", "server"]

PASSWORD = "s3cret{braces}"
_STARTERS = ("postgres", "nobody")
"""Who the server runs as where the tests run as root, which PostgreSQL refuses."""


@contextmanager
def server() -> Iterator[str]:
    """Give the URL of an empty database.

    Where there is no server skip the test, or fail it if $ATTENDC_REQUIRE_POSTGRESQL is set.
    """
    programs = _programs()
    if programs is None:
        told = "no PostgreSQL: install Debian's postgresql"
        if os.environ.get("ATTENDC_REQUIRE_POSTGRESQL"):
            pytest.fail(told)
        pytest.skip(told)
    folder = Path(tempfile.mkdtemp(prefix="attendc-pg-"))
    try:
        port, password = _free_port(), folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        folder.chmod(0o777)
        data = folder / "data"
        _run(programs, "initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", f"--pwfile={password}", "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        try:
            _run(programs, "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", options)
            # A percent sign starts the code of a character: braces are written so in a URL.
            yield f"postgresql://tester:s3cret%7Bbraces%7D@127.0.0.1:{port}/postgres"
        finally:
            _run(programs, "pg_ctl", "stop", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Return the folder of the server's programs, which Debian leaves out of PATH."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((f for f in reversed(folders) if (f / "postgres").exists()), None)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _run(programs: Path, name: str, *arguments: str | Path) -> None:
    as_other: Sequence[str] = ("runuser", "-u", _starter(), "--") if os.geteuid() == 0 else ()
    command = [*as_other, str(programs / name), *map(str, arguments)]
    # pg_ctl leaves the server with the streams that it has: a pipe would never be closed.
    subprocess.run(command, check=True, cwd="/tmp", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


def _starter() -> str:
    known = {one.pw_name for one in pwd.getpwall()}
    return next(name for name in _STARTERS if name in known)
