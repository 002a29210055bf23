"""Milliseconds on a real board, over ssh: files go there, are timed, and nothing of them stays.

One connection by OpenSSH's own client carries all of it. On the board one process answers, guest/board.py; it cleans up
when the connection ends, however that comes. No name of a user's file reaches a shell, or the board at all.
"""

from __future__ import annotations

import os
import signal
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attendc.arm.board.connection import Board, connected
from attendc.arm.board.host import Host, SshOptions, parse_host
from attendc.arm.board.runtime import MODULES, choose_wheels
from attendc.arm.measure.steadiness import warn_of_disturbances
from attendc.arm.measure.timing import TimeOptions, Timing, cannot_run, read_timings, time_job
from attendc.context import Context
from attendc.errors import ConversionError, UsageError

__all__ = ["SshOptions", "time_over_ssh"]

_GUEST = Path(__file__).parent.parent / "guest" / "work.py"
_SPARE = 16 << 20
"""Bytes that are to be free on the board beside what is copied."""
_MEGABYTE = 1 << 20
_TAIL = 300
_DEFAULT = SshOptions()


def time_over_ssh(
    host: str, files: Sequence[Path], options: TimeOptions, context: Context, *, ssh: SshOptions = _DEFAULT
) -> list[Timing]:
    """Return the timing of each file on the board `host`: `user@name`, `name:port`, or an alias of ssh's config.

    Raises:
        UsageError: naming what is in the way: of the host's name, the login, the connection, or the board's runtimes.
        OutputError: if there is no room on the board.
        ConversionError: naming a file that the runtime there cannot run.
    """
    target = parse_host(host)
    formats = [_format_of(file) for file in files]
    if not files:
        return []
    with connected(target, ssh, context.warn) as board:
        look = board.look(MODULES)
        wheels = choose_wheels(target, look, formats, ssh.runtime, context)
        names = [f"{index}.{form}" for index, form in enumerate(formats)]
        _copy(board, {"work.py": _GUEST, **dict(zip(names, files, strict=True))}, wheels, context)
        python = board.make_environment([path.name for path in wheels]) if wheels else look.executable
        lines = _work(board, python, time_job(names, formats, options), files, context)
    timings = read_timings(lines, files, options, str(target))
    warn_of_disturbances(files, timings, str(target), context)
    return timings


def _format_of(file: Path) -> str:
    form = file.suffix.lower().removeprefix(".")
    if form not in ("tflite", "onnx"):
        raise UsageError(f"{file} is neither a .tflite nor an .onnx file", hint="Only these are timed on a board")
    if not (file.is_file() and os.access(file, os.R_OK)):
        what = f"{file} may not be read" if file.exists() else f"there is no file {file}"
        raise UsageError(what, hint="Give the path of a .tflite or an .onnx file")
    return form


def _copy(board: Board, named: Mapping[str, Path], wheels: Sequence[Path], context: Context) -> None:
    """Make the folder on the board and fill it; `named` is by the names over there."""
    everything = {**named, **{path.name: path for path in wheels}}
    size = sum(path.stat().st_size for path in everything.values())
    board.make_folder(size + sum(_unpacked(path) for path in wheels) + _SPARE)
    done = 0

    def advance_by(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        advance(done // _MEGABYTE - before // _MEGABYTE, "")

    with context.progress(f"copy to {board.host} (MB)", size // _MEGABYTE) as advance:
        for name, path in everything.items():
            board.put(path, name, advance_by)


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as file:
        return sum(entry.file_size for entry in file.infolist())


def _work(
    board: Board, python: str, job: Sequence[Mapping[str, Any]], files: Sequence[Path], context: Context
) -> list[dict[str, Any]]:
    """Return the lines of work.py.

    Raises:
        ConversionError: naming a file that cannot run there, or that it had at hand when it died.
        UsageError: if it did not even start.
    """
    lines: list[dict[str, Any]] = []
    done = [0] * len(files)
    with context.progress(f"time on {board.host}", sum(task["runs"] for task in job)) as advance:
        for told in board.work(python, job):
            if "at" in told:
                advance(told["at"] - done[told["index"]], files[told["index"]].name)
                done[told["index"]] = told["at"]
            if "error" in told:  # and nobody need wait for the others
                raise cannot_run(str(board.host), files[told["index"]], told["error"])
            lines.append(told)
    ending = lines.pop()
    if ending["code"] != 0:
        raise _death(board.host, ending, files[lines[-1]["index"]] if lines else None)
    return lines


def _death(host: Host, ending: Mapping[str, Any], at_hand: Path | None) -> ConversionError | UsageError:
    said = " ".join(ending["said"].split())[-_TAIL:] or "without a word"
    if at_hand is None:
        return UsageError(f"the runtime on {host} did not start: {said}", hint="Try --runtime bring")
    code = ending["code"]
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    hint = "Perhaps the board has too little memory for it" if code == -signal.SIGKILL else ""
    return ConversionError(f"{at_hand} brought the runtime on {host} down ({how}): {said}", hint=hint)
