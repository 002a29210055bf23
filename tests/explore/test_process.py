"""Further processes of an exploration: that one that dies is told, and that none is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from attendc.explore.process import Workers, writes_log

pytestmark = pytest.mark.slow  # other processes
LOG = Path("run.log")


def workers(*codes: str) -> Workers:
    command: Sequence[str] = [sys.executable, "-S", "-c"]
    return Workers([subprocess.Popen([*command, code], stdin=subprocess.PIPE, text=True) for code in codes])


def test_each_process_that_dies_is_told_once_and_one_that_ends_is_not() -> None:
    told: list[str] = []
    started = workers("import os; os.kill(os.getpid(), 9)", "raise SystemExit(4)", "pass")
    started.wait(lambda: started.look(told.append, LOG))
    started.look(told.append, LOG)
    killed, failed, _ = (p.pid for p in started.processes)
    assert sorted(told) == sorted(
        [
            f"the process {killed} of this exploration was killed by signal 9; the others go on",
            f"the process {failed} of this exploration ended with exit code 4, see run.log; the others go on",
        ]
    )
    started.stop()


def test_they_end_when_their_stdin_is_closed() -> None:
    started = workers("import sys; sys.stdin.read()")
    assert started.processes[0].poll() is None
    started.stop()
    assert started.processes[0].returncode == 0


def test_lines_of_several_writers_stand_in_one_log(tmp_path: Path) -> None:
    one, other = writes_log(tmp_path / "run.log"), writes_log(tmp_path / "run.log")
    one("first")
    other("second")
    assert [line.rpartition("] ")[2] for line in (tmp_path / "run.log").read_text().splitlines()] == ["first", "second"]
