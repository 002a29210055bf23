"""Start guest/work.py beside this process, in an emulator or as it is, and hear what it tells while it works."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from attendc.context import Advance, Context
from attendc.errors import ConversionError

__all__ = ["SILENCE_S", "WORK", "do_job"]

WORK = Path(__file__).parent.parent / "guest" / "work.py"
SILENCE_S = 900.0
"""Longest time without a word: a task of one inference, or five, of a large network on a busy computer."""
_LISTEN_S = 0.05
_TAIL = 400


def do_job(
    command: Sequence[str],
    job: Sequence[Mapping[str, Any]],
    folder: Path,
    context: Context,
    *,
    place: str,
    environment: Mapping[str, str],
    silence_s: float = SILENCE_S,
) -> list[dict[str, Any]]:
    """Let `command`, a Python with what must stand before it, do the tasks of a job, and return the answer to each.

    `folder` takes what the process leaves; `place` is where it runs, for people. However this ends, the process has
    ended then.

    Raises:
        ConversionError: if the process dies or falls silent, with the file that it had at hand.
    """
    (folder / "job").write_text(json.dumps(job), encoding="utf-8")
    results = folder / "results"
    results.touch()
    whole = [*command, str(WORK), str(folder / "job"), str(results)]
    with (
        (folder / "errors").open("w") as errors,
        context.progress(f"running on {place}", sum(map(_units, job))) as advance,
        subprocess.Popen(
            whole, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment, cwd=folder
        ) as process,
    ):
        try:
            told = _heard(process, results, job, advance, silence_s=silence_s)
        finally:
            process.kill()
    answers = {line["index"]: line for line in told if "at" not in line}
    if len(answers) < len(job):
        raise _died(process.returncode, told, job, place, folder / "errors")
    return [answers[index] for index in range(len(job))]


def _units(task: Mapping[str, Any]) -> int:
    """Return the steps of a task in the progress bar."""
    if task["kind"] == "run":
        return len(np.load(task["inputs"], mmap_mode="r"))
    return int(task.get("runs", 1))


def _heard(
    process: subprocess.Popen[bytes],
    results: Path,
    job: Sequence[Mapping[str, Any]],
    advance: Advance,
    *,
    silence_s: float,
) -> list[dict[str, Any]]:
    """Return all lines; the process has ended then, or been silent for too long."""
    told: list[dict[str, Any]] = []
    done = [0] * len(job)
    heard = time.monotonic()
    with results.open(encoding="utf-8") as stream:
        reader = _lines(stream)
        while True:
            ended = process.poll() is not None  # asked before the last lines are read
            for line in iter(lambda: next(reader), ""):
                told.append(json.loads(line))
                heard = time.monotonic()
                _tell(told[-1], job, done, advance)
            if ended:
                return told
            if time.monotonic() - heard > silence_s:
                at_hand = job[told[-1]["index"]]["file"] if told else "its first task"
                raise ConversionError(f"no word for {silence_s:.0f} s: the process with {at_hand} was stopped")
            time.sleep(_LISTEN_S)


def _lines(stream: IO[str]) -> Iterator[str]:
    """Yield each whole line as it comes, and an empty text whenever there is none yet."""
    rest = ""
    while True:
        rest += stream.readline()
        if rest.endswith("\n"):
            yield rest
            rest = ""
        else:
            yield ""


def _tell(line: Mapping[str, Any], job: Sequence[Mapping[str, Any]], done: list[int], advance: Advance) -> None:
    index = line["index"]
    at = line.get("at", _units(job[index]))
    advance(at - done[index], Path(job[index]["file"]).name)
    done[index] = at


def _died(
    code: int, told: Sequence[Mapping[str, Any]], job: Sequence[Mapping[str, Any]], place: str, errors: Path
) -> ConversionError:
    words = errors.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    if not told:
        return ConversionError(f"Python did not start on {place} ({how}): {words}")
    return ConversionError(f"{job[told[-1]['index']]['file']} brought the runtime on {place} down ({how}): {words}")
