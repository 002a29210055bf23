"""One connection to a board: what guest/board.py is asked over it, and how it ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from attendc.arm.board.failure import login_failure
from attendc.arm.board.host import Host, SshOptions, ssh_command
from attendc.errors import OutputError, UsageError

__all__ = ["Board", "Look", "connected"]

_GUEST = Path(__file__).parent.parent / "guest" / "board.py"
_MARK = b"attendc:"
_CHUNK = 1 << 16
_LOGIN_SECONDS = 60
"""For what comes after the connection: keys, the profile of the shell, the start of Python."""
_GOODBYE_SECONDS = 15
_SIGN_OF_LIFE_SECONDS = 5.0
"""Longest silence of this side: the board takes a minute of it for the end."""
_SSH_FAILED = 255
_TAIL = 300


@dataclass(frozen=True)
class Look:
    """What a board is.

    Attributes:
        machine: as `uname -m` says.
        bits: of Python, which can be 32 on a kernel of 64.
        libc: for example `glibc 2.36`; empty: another one.
        python: (major, minor, patch).
        executable: the path of Python.
        modules: name -> version; None: it is not there.
    """

    machine: str
    bits: int
    libc: str
    python: tuple[int, int, int]
    executable: str
    modules: Mapping[str, str | None]

    @property
    def version(self) -> str:
        """Return Python's version as people write it."""
        return ".".join(map(str, self.python))


class Board:
    """A board that Python answers on; `connected` makes and ends it."""

    def __init__(self, host: Host, options: SshOptions, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        """Keep the running ssh, and the file that it writes its errors to."""
        assert process.stdin is not None
        assert process.stdout is not None
        self.host = host
        self._options = options
        self._process = process
        self._into, self._out = process.stdin, process.stdout
        self._said = said
        self._rest = b""
        self._chatter = b""
        """The last line that was no answer: what says why there is none."""
        self._has_answered = False
        self._wrote_at = time.monotonic()
        self._left_behind = ""
        """What may lie on the board if it never says that it has cleaned up; empty: nothing, or it is said already."""

    def start(self) -> None:
        """Hand over the program that answers from now on."""
        program = _GUEST.read_bytes()
        self._write(b"%d\n%s" % (len(program), program))

    def look(self, modules: Sequence[str]) -> Look:
        """Return what the board is and which of these modules it has."""
        told = self._ask({"do": "look", "modules": list(modules)})
        return Look(**{**told, "python": tuple(told["python"])})

    def make_folder(self, needed: int) -> None:
        """Make the folder that all the rest goes into, where `needed` bytes are free.

        Raises:
            OutputError: if there is no such place.
        """
        self._left_behind = "a folder attendc-* in its temporary folder"
        self._left_behind = str(self._ask({"do": "folder", "bytes": needed})["folder"])

    def put(self, path: Path, name: str, advance: Callable[[int], None]) -> None:
        """Copy a file into the folder; `advance` is told of the bytes of each chunk.

        Raises:
            UsageError: if the file is cut short meanwhile.
            OutputError: if the disk over there is full.
        """
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size
            self._send({"do": "put", "name": name, "bytes": left})
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise UsageError(f"{path} became shorter while it was copied", hint="Run it again")
                self._write(chunk)
                left -= len(chunk)
                advance(len(chunk))
        self._answer()

    def make_environment(self, wheels: Sequence[str]) -> str:
        """Make a virtual environment of wheels in the folder, and return its Python."""
        return str(self._ask({"do": "environment", "wheels": list(wheels)})["python"])

    def work(self, python: str, job: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Let work.py do a job in the folder; yield its lines as they come, and last its `code` and what it `said`."""
        self._send({"do": "work", "python": python, "job": list(job)})
        while True:
            told = self._answer()
            if "line" not in told:
                yield told
                return
            yield told["line"]

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._send(request)
        return self._answer()

    def _send(self, request: Mapping[str, Any]) -> None:
        self._write(json.dumps(request).encode() + b"\n")

    def _write(self, content: bytes) -> None:
        try:
            self._into.write(content)
            self._into.flush()
            self._wrote_at = time.monotonic()
        except OSError as e:
            raise self._lost() from e

    def _answer(self) -> dict[str, Any]:
        told = self._told(None if self._has_answered else time.monotonic() + _LOGIN_SECONDS)
        if told is None:
            raise self._lost()
        self._has_answered = True
        if "removed" in told:
            self._left_behind = ""
            raise UsageError(f"{self.host} heard nothing from here for a while and gave up", hint="Run it again")
        if "error" not in told:
            return told
        if told.get("full"):
            raise OutputError(f"{self.host}: {told['error']}", hint="Free some space there and run it again")
        raise UsageError(f"{self.host}: {told['error']}")

    def _told(self, until: float | None) -> dict[str, Any] | None:
        """Return the next answer; None: there is no connection any more."""
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                if line.startswith(_MARK):
                    told: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                    return told
                self._chatter = line.strip() or self._chatter
            else:
                chunk = self._read(until)
                if not chunk:
                    return None
                self._rest += chunk

    def _read(self, until: float | None) -> bytes:
        while True:
            ready = select.select([self._out], [], [], _SIGN_OF_LIFE_SECONDS)[0]
            silent = time.monotonic() - self._wrote_at >= _SIGN_OF_LIFE_SECONDS
            if silent and self._has_answered and not self._into.closed:
                self._write(b"\n")
            if ready:
                return os.read(self._out.fileno(), _CHUNK)
            if until is not None and time.monotonic() > until:
                raise UsageError(
                    f"ssh reached {self.host}, but {self._options.python} did not answer in {_LOGIN_SECONDS} seconds",
                    hint="What a login starts there must not wait for anybody",
                )

    def _lost(self) -> UsageError:
        """Return the error for a connection that has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE_SECONDS)
        code = self._process.poll()
        said = os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace").strip()
        if not self._has_answered:
            said = said or self._chatter.decode(errors="replace")
            return login_failure(self.host, self._options, _SSH_FAILED if code is None else code, said)
        what, folder = f"the connection to {self.host} was lost", self._left_behind
        self._left_behind = ""
        if code != _SSH_FAILED:
            what = f"{self._options.python} on {self.host} was ended (code {code})"
        why = f": {said.splitlines()[-1][-_TAIL:].rstrip('.')}" if said else ""
        left = f". It removes {folder} within a minute; remove it yourself if it has crashed" if folder else ""
        return UsageError(f"{what}{why}", hint=f"Run it again{left}")

    def close(self) -> str:
        """Let the board clean up, and return what may be left there; empty: nothing."""
        with suppress(OSError):
            self._into.close()
        if not self._left_behind:
            return ""
        until = time.monotonic() + _GOODBYE_SECONDS
        with suppress(UsageError):  # it does not answer in time
            while (told := self._told(until)) is not None:
                if told.get("removed"):
                    self._left_behind = ""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))
        return self._left_behind

    def end(self) -> None:
        """End ssh, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._into, self._out):
            with suppress(OSError):
                pipe.close()


@contextmanager
def connected(host: Host, options: SshOptions, say: Callable[[str], None]) -> Iterator[Board]:
    """Give a board that Python answers on; in the end, however it comes, nothing of ours is left there.

    `say` is told of what may be left all the same.

    Raises:
        UsageError: naming what stands in the way of a login, or that the connection was lost.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            ssh_command(host, options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for this process, which then lets the board clean up
        )
        board = Board(host, options, process, said)
        try:
            try:
                board.start()
                yield board
            finally:
                left = board.close()
                if left:
                    say(f"{left} may be left on {host}: it did not say that it has cleaned up")
        finally:
            board.end()
