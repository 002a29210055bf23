"""Further processes of an exploration on this computer: each works on the study as one on another machine would.

A process is told what to do through its stdin, since a password may be in it, and stops when that is closed: so none
goes on alone where the one that started it was killed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from attendc.context import Context
from attendc.errors import AttendcError
from attendc.explore.phases import explore
from attendc.explore.request import ExploreRequest, prepare
from attendc.explore.storage import Heartbeat

__all__ = ["Workers", "main", "workers", "writes_log"]

_SECONDS_TO_STOP = 30.0


class Workers:
    """Processes that work on the same study."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        """Keep the processes, which run already."""
        self.processes = processes
        self.told: set[int] = set()

    def look(self, warn: Callable[[str], None], log: Path) -> None:
        """Tell of those that died since the last look; others take their trials over."""
        for process in self.processes:
            code = process.poll()
            if code and process.pid not in self.told:
                self.told.add(process.pid)
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}, see {log}"
                warn(f"the process {process.pid} of this exploration {how}; the others go on")

    def wait(self, look: Callable[[], None]) -> None:
        """Wait until all have ended."""
        while any(p.poll() is None for p in self.processes):
            look()
            time.sleep(0.2)
        look()

    def stop(self) -> None:
        """Let them hand their trials back and end."""
        for process in self.processes:
            if process.stdin is not None:
                with suppress(BrokenPipeError):  # it has ended already
                    process.stdin.close()
        until = time.monotonic() + _SECONDS_TO_STOP
        for process in self.processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def workers(request: ExploreRequest, seed: int, count: int, log: Path) -> Iterator[Workers]:
    """Start `count` processes; in the end none is left."""
    told = json.dumps({"seed": seed, "request": dataclasses.asdict(request)}, default=str)
    with log.open("a", encoding="utf-8") as file:
        started = Workers([_started(told, file) for _ in range(count)])
        try:
            yield started
        finally:
            started.stop()


def _started(told: str, log: IO[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "attendc.explore.process"]
    # A session of its own: Ctrl-C reaches the first process alone, which then stops the others in order.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True
    )
    if process.stdin is not None:
        try:
            process.stdin.write(told + "\n")
            process.stdin.flush()
        except BrokenPipeError:  # it died already, which `look` tells
            pass
    return process


def writes_log(path: Path) -> Callable[[str], None]:
    """Return what appends a line with time and process to a file that several processes write to."""

    def write(text: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] {text}\n")

    return write


def main() -> int:
    """Be such a process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_closed, daemon=True).start()
    request = _request_of(told["request"])
    say = writes_log(request.output / "run.log")
    context = Context(told["seed"], say=say)
    try:
        explore(prepare(request, context), context)
    except KeyboardInterrupt:
        return 0
    except AttendcError as e:
        say(f"error: {e}")
        return e.exit_code
    return 0


def _request_of(told: dict[str, Any]) -> ExploreRequest:
    fields = {
        **told,
        "output": Path(told["output"]),
        "budgets": tuple(told["budgets"]),
        "heartbeat": Heartbeat(**told["heartbeat"]),
    }
    return ExploreRequest(**fields)


def _stop_when_closed() -> None:
    """Interrupt this process when the one that started it closes our stdin, or is killed."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
