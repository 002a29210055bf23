"""Run files on an emulated core: in the real aarch64 runtimes, in one process for all tasks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attendc.arm.cores import Core
from attendc.arm.emulation.process import SILENCE_S, do_job
from attendc.arm.machine.ready import check_ready
from attendc.arm.machine.sysroot import EMULATOR, PYTHON, SITE, emulator_path, plugin_path, prefix_of
from attendc.context import Context

__all__ = ["Answer", "Task", "emulate"]

_INFERENCES = 2
"""Marks stand around one inference and around three; the difference is that of two, without what Python adds."""


@dataclass(frozen=True)
class Task:
    """One file and what to do with it.

    Attributes:
        kind: `count` its instructions on made-up inputs, or `run` it on `inputs`.
        file: a .tflite or .onnx file.
        inputs: (N, ...) as the file takes them, in its own dtype and layout; of `run` only.
        brief: count two inferences instead of five: `called` is known then, not `instructions`.
    """

    kind: Literal["count", "run"]
    file: Path
    inputs: NDArray[Any] | None = None
    brief: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of a task.

    Attributes:
        file: that of the task.
        instructions: of one inference with one thread; of `count` only.
        partitions: parts of a TFLite file that XNNPACK runs; None of ONNX.
        operators: of a TFLite file, with those that XNNPACK runs; None of ONNX.
        outputs: (N, ...) as the file gives them; of `run` only.
        error: what the runtime said where it could not; then nothing else is known.
        called: instructions of one inference with the few thousand that its call from Python adds; of `count` only.
    """

    file: Path
    instructions: int | None = None
    partitions: int | None = None
    operators: int | None = None
    outputs: NDArray[Any] | None = None
    error: str = ""
    called: int | None = None


def emulate(
    core: Core, tasks: Sequence[Task], *, context: Context | None = None, silence_s: float = SILENCE_S
) -> list[Answer]:
    """Do all tasks in one process on an emulated core, and return an answer to each.

    The process is stopped after `silence_s` seconds in which it finished no task and no image.

    Raises:
        UsageError: if the emulated machine is not set up.
        ConversionError: if the process dies or falls silent, with the file that it had at hand.
    """
    if not tasks:
        return []
    check_ready(core)
    with tempfile.TemporaryDirectory(prefix="attendc-arm-") as name:
        folder = Path(name)
        job = _job(folder, tasks)
        counting = any(task.kind == "count" for task in tasks)
        told = do_job(
            _command(core, folder, counting=counting),
            job,
            folder,
            context or Context(),
            place=core.name,
            environment=_environment(),
            silence_s=silence_s,
        )
        marks = _read_marks(folder / "counts") if counting else {}
        return [_answer(index, task, told[index], marks.get(index, {}), folder) for index, task in enumerate(tasks)]


def _job(folder: Path, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    job: list[dict[str, Any]] = []
    for index, task in enumerate(tasks):
        told = {"kind": task.kind, "format": task.file.suffix.removeprefix("."), "file": str(task.file.resolve())}
        if task.inputs is not None:
            np.save(folder / f"{index}.in.npy", task.inputs)
            told |= {"inputs": str(folder / f"{index}.in.npy"), "outputs": str(folder / f"{index}.out.npy")}
        job.append({**told, "brief": task.brief})
    return job


def _command(core: Core, folder: Path, *, counting: bool) -> list[str]:
    prefix = prefix_of(core)
    plugin = ["-plugin", f"{plugin_path()},out={folder / 'counts'}"] if counting else []
    return [
        emulator_path() or EMULATOR,
        "-cpu",
        core.emulated_as or core.name,
        "-L",
        str(prefix),
        *plugin,
        str(prefix / PYTHON),
    ]


def _environment() -> dict[str, str]:
    """Return what the guest is told: nothing of the host's Python, to keep to one thread, and to do the same always."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": SITE,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LD_BIND_NOW": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _read_marks(path: Path) -> dict[int, dict[int, int]]:
    """Return task -> mark -> instructions executed until then."""
    marks: dict[int, dict[int, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        task, mark, count = map(int, line.split())
        marks.setdefault(task, {})[mark] = count
    return marks


def _answer(index: int, task: Task, told: Mapping[str, Any], marks: Mapping[int, int], folder: Path) -> Answer:
    if told.get("error"):
        return Answer(task.file, error=told["error"])
    outputs = np.load(folder / f"{index}.out.npy") if task.kind == "run" else None
    called = marks[1] - marks[0] if 1 in marks else None
    exact = (marks[2] - marks[1] - (marks[1] - marks[0])) // _INFERENCES if 2 in marks else None
    return Answer(task.file, exact, told["partitions"], told["operators"], outputs, called=called)
