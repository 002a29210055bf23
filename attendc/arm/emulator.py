"""Run files on an emulated core: in the real aarch64 runtimes, in one process for all tasks."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attendc.arm.cores import Core
from attendc.arm.sysroot import PYTHON, SITE, plugin_path, prefix_of
from attendc.errors import ConversionError

__all__ = ["Answer", "Task", "emulate"]

_GUEST = Path(__file__).parent / "guest" / "work.py"
_INFERENCES = 2
"""Marks stand around one inference and around three; the difference is that of two, without what Python adds."""
_TAIL = 400


@dataclass(frozen=True)
class Task:
    """One file and what to do with it.

    Attributes:
        kind: `count` its instructions on made-up inputs, or `run` it on `inputs`.
        file: a .tflite or .onnx file.
        inputs: (N, ...) as the file takes them, in its own dtype and layout; of `run` only.
    """

    kind: Literal["count", "run"]
    file: Path
    inputs: NDArray[Any] | None = None


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
    """

    file: Path
    instructions: int | None = None
    partitions: int | None = None
    operators: int | None = None
    outputs: NDArray[Any] | None = None
    error: str = ""


def emulate(core: Core, tasks: Sequence[Task], *, timeout: float | None = None) -> list[Answer]:
    """Do all tasks in one process on an emulated core, and return an answer to each.

    Raises:
        ConversionError: if the process dies, with the file that it had at hand.
    """
    with tempfile.TemporaryDirectory(prefix="attendc-arm-") as name:
        folder = Path(name)
        _write_job(folder, tasks)
        counting = any(task.kind == "count" for task in tasks)
        done = subprocess.run(
            _command(core, folder, counting=counting),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=_environment(),
            check=False,
        )
        told = _read_lines(folder / "results")
        if done.returncode != 0 or len(told) < len(tasks):
            at_hand = tasks[len(told)].file if len(told) < len(tasks) else tasks[-1].file
            raise ConversionError(
                f"{at_hand} brought the runtime on {core.name} down (code {done.returncode}): {done.stderr[-_TAIL:]}"
            )
        counts = _read_counts(folder / "counts") if counting else {}
        return [_answer(index, task, told[index], counts, folder) for index, task in enumerate(tasks)]


def _write_job(folder: Path, tasks: Sequence[Task]) -> None:
    job = []
    for index, task in enumerate(tasks):
        told = {"kind": task.kind, "format": task.file.suffix.removeprefix("."), "file": str(task.file.resolve())}
        if task.inputs is not None:
            np.save(folder / f"{index}.in.npy", task.inputs)
            told |= {"inputs": str(folder / f"{index}.in.npy"), "outputs": str(folder / f"{index}.out.npy")}
        job.append(told)
    (folder / "job").write_text(json.dumps(job), encoding="utf-8")


def _command(core: Core, folder: Path, *, counting: bool) -> list[str]:
    prefix = prefix_of(core)
    plugin = ["-plugin", f"{plugin_path()},out={folder / 'counts'}"] if counting else []
    guest = [str(prefix / PYTHON), str(_GUEST), str(folder / "job"), str(folder / "results")]
    return ["qemu-aarch64", "-cpu", core.emulated_as or core.name, "-L", str(prefix), *plugin, *guest]


def _environment() -> dict[str, str]:
    """Return what the guest is told: nothing of the host's Python, and to keep to one thread."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": SITE,
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [told for told in map(json.loads, lines) if "at" not in told]


def _read_counts(path: Path) -> dict[int, int]:
    """Return task -> instructions of one inference."""
    marks: dict[int, dict[int, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        task, mark, count = map(int, line.split())
        marks.setdefault(task, {})[mark] = count
    return {t: ((m[2] - m[1]) - (m[1] - m[0])) // _INFERENCES for t, m in marks.items() if len(m) == _INFERENCES + 1}


def _answer(index: int, task: Task, told: Mapping[str, Any], counts: Mapping[int, int], folder: Path) -> Answer:
    if told.get("error"):
        return Answer(task.file, error=told["error"])
    outputs = np.load(folder / f"{index}.out.npy") if task.kind == "run" else None
    return Answer(task.file, counts.get(index), told["partitions"], told["operators"], outputs)
