"""What runs on a board as long as a connection over ssh lasts. It knows nothing of attendc.

It reads requests, lines of JSON, from its input, and answers each with a line of JSON behind `MARK` (what a login
prints has none). All that it makes lies in one temporary folder. When its input ends, because all is done, the user
broke off, or the connection is lost, or when nothing comes any more, not even empty lines as signs of life, it ends
what it has started, removes the folder, says so, and is gone.

A request has `do`, and beside it:
  look: `modules`; answers what the board is, and which versions of these it has.
  folder: `bytes` that are needed; makes the folder and answers its path.
  put: `name` and `bytes`, which follow the line; writes a file into the folder.
  environment: `wheels`, names of files in the folder; makes a virtual environment of them and answers its Python.
  work: `python`, `job`; runs work.py, passes on each of its lines as `line`, and answers `code` and `said`.

Any Python from 3.7 on can read it, and so tell that it is too old for the rest.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import platform
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile
from io import FileIO
from typing import Any

INPUT: Any = sys.stdin.buffer
MARK = "attendc:"
CHUNK = 1 << 20
TAIL = 2000
PATIENCE = 60
"""Seconds without a sign of life after which a silent connection counts as lost."""
PAUSE = 0.5
"""Seconds between looks at what work.py writes: to be woken by each line would take time from what is timed."""
GOODBYE = 5
MEGABYTE = 1 << 20


class Board:
    """The folder and the process that are there now."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.folder = ""
        self.child: subprocess.Popen[bytes] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks and return what to tell."""
        do = request["do"]
        if do == "look":
            return look(request["modules"])
        if do == "folder":
            return self.make_folder(request["bytes"])
        if do == "put":
            return self.put(request["name"], request["bytes"])
        if do == "environment":
            return self.make_environment(request["wheels"])
        return self.work(request["python"], request["job"])

    def make_folder(self, needed: int) -> dict[str, Any]:
        """Make the folder in the first place that has room, and that libraries can be loaded from."""
        tried = []
        for place in (tempfile.gettempdir(), "/var/tmp", os.path.expanduser("~")):
            free = shutil.disk_usage(place).free if os.path.isdir(place) else 0
            if free < needed:
                tried.append(f"{free // MEGABYTE} MB free in {place}")
            elif os.statvfs(place).f_flag & os.ST_NOEXEC:
                tried.append(f"{place} is mounted noexec")
            elif not os.access(place, os.W_OK):
                tried.append(f"{place} is read-only")
            else:
                self.folder = tempfile.mkdtemp(prefix="attendc-", dir=place)
                return {"folder": self.folder}
        return {"error": f"no room for {-(-needed // MEGABYTE)} MB: {', '.join(tried)}", "full": True}

    def put(self, name: str, size: int) -> dict[str, Any]:
        """Write a file. All bytes are read, also where they cannot be written, so that the next line is a request."""
        failure = None
        with open(os.path.join(self.folder, name), "wb", buffering=0) as file:
            while size:
                chunk = INPUT.read1(min(CHUNK, size))
                if not chunk:
                    raise EOFError
                signal.alarm(PATIENCE)
                size -= len(chunk)
                try:
                    while chunk and failure is None:
                        chunk = chunk[file.write(chunk) :]
                except OSError as e:
                    failure = e
        if failure is not None:
            raise failure
        return {}

    def make_environment(self, wheels: list[str]) -> dict[str, Any]:
        """Make a virtual environment, without pip, which systems leave out, and unpack the wheels into it."""
        signal.alarm(0)  # meanwhile nobody listens
        root = os.path.join(self.folder, "environment")
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )
        site = os.path.join(root, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        for wheel in wheels:
            path = os.path.join(self.folder, wheel)
            with zipfile.ZipFile(path) as file:
                file.extractall(site)
            os.remove(path)
        return {"python": os.path.join(root, "bin", "python")}

    def work(self, python: str, job: list[Any]) -> dict[str, Any]:
        """Run work.py and pass on what it writes."""
        with open(os.path.join(self.folder, "job"), "w") as file:
            json.dump(job, file)
        said = os.path.join(self.folder, "said")
        out, into = os.pipe()
        with open(said, "wb") as errors:
            self.child = subprocess.Popen(
                [python, "work.py", "job", f"/dev/fd/{into}"],
                cwd=self.folder,
                env={**os.environ, "TMPDIR": self.folder, "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=[into],
                start_new_session=True,
            )
        os.close(into)
        with os.fdopen(out, "rb", buffering=0) as lines:
            pass_on(lines)
        code = self.child.wait()
        self.child = None
        with open(said, errors="replace") as text:
            return {"code": code, "said": text.read()[-TAIL:]}

    def close(self) -> None:
        """End the process and remove the folder."""
        signal.alarm(0)
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        signal.alarm(GOODBYE)  # a silent connection may take no more
        tell(removed=not (self.folder and os.path.exists(self.folder)))


def main() -> None:
    """Answer requests until there are no more."""
    for end in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(end, lambda *_: sys.exit(1))
    os.write(1, b"\n")  # what a login printed may lack it
    board = Board()
    try:
        while True:
            line = INPUT.readline()
            if not line.endswith(b"\n"):
                return
            if line.isspace():
                continue
            try:
                told = board.answer(json.loads(line))
            except (OSError, subprocess.CalledProcessError, zipfile.BadZipFile) as e:
                told = {"error": words(e), "full": getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT)}
            tell(**told)
            signal.alarm(PATIENCE if board.folder else 0)
    except EOFError:
        return
    finally:
        board.close()


def tell(**told: Any) -> None:
    """Write one answer; where nobody listens any more, nothing is left to tell."""
    with contextlib.suppress(OSError):
        os.write(1, (MARK + json.dumps(told) + "\n").encode())


def pass_on(lines: FileIO) -> None:
    """Pass on each line of JSON, until there are no more; raise EOFError as soon as the connection has ended."""
    rest = b""
    while True:
        if select.select([INPUT], [], [], PAUSE)[0]:
            if not os.read(sys.stdin.fileno(), CHUNK):  # else it is a sign of life: nothing is asked meanwhile
                raise EOFError
            signal.alarm(PATIENCE)
        while select.select([lines], [], [], 0)[0]:
            chunk = lines.read(CHUNK)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                tell(line=json.loads(line))


def look(modules: list[str]) -> dict[str, Any]:
    """Return what the board is, and which versions of modules it has."""
    return {
        "machine": platform.machine(),
        "bits": 8 * struct.calcsize("P"),
        "libc": libc(),
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "modules": {name: version_of(name) for name in modules},
    }


def libc() -> str:
    """Return the C library where it is GNU's."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def version_of(name: str) -> str | None:
    """Return the version of an installed module, without importing it; None: it is not there."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        from importlib.metadata import version

        return version(name.replace("_", "-"))
    except ImportError:
        return "of unknown version"


def words(error: Exception) -> str:
    """Return an error with what the command that failed had printed."""
    printed = getattr(error, "output", None) or b""
    return " ".join([f"{type(error).__name__}: {error}", *printed.decode(errors="replace").split()])


if __name__ == "__main__":
    main()
