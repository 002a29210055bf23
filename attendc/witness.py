"""TensorFlow's interpreter with its reference kernels, in a process of its own.

It is the independent witness of a TFLite file: other code than LiteRT's, no XNNPACK. Its kernels check themselves by
aborting the process (SOFTMAX does so where several hundred channels are nearly equal), which must not take attendc
with it. The process answers each batch on its stdin with one on its stdout.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attendc.errors import ConversionError
from attendc.runtimes import run_tflite, tflite_interpreter

__all__ = ["ReferenceRunner"]

_LENGTH = 8


class ReferenceRunner:
    """A runner: float32 (N, C, H, W) -> float32 logits (N, classes). The process starts at the first batch."""

    def __init__(self, path: Path) -> None:
        """Remember the file."""
        self.path = path
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Run a batch.

        Raises:
            ConversionError: if the kernels abort, or refuse the file.
        """
        process = self._process or self._start()
        try:
            _write(process.stdin, x.numpy())
            return torch.from_numpy(_read(process.stdout))
        except (OSError, EOFError, ValueError) as e:
            code = process.wait()
            why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise ConversionError(f"TensorFlow's reference kernels cannot run {self.path.name}: {why}") from e

    def _start(self) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).parents[1])
        inherited = os.environ.get("PYTHONPATH", "")
        process = subprocess.Popen(
            [sys.executable, "-m", "attendc.witness", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (package, inherited) if p)},
        )
        self._process = process
        weakref.finalize(self, _stop, process)
        return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _write(stream: IO[bytes] | None, array: NDArray[np.float32]) -> None:
    """Write an array as its length in bytes and its .npy."""
    assert stream is not None
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    stream.write(len(content.getvalue()).to_bytes(_LENGTH) + content.getvalue())
    stream.flush()


def _read(stream: IO[bytes] | None) -> NDArray[np.float32]:
    """Read what `_write` wrote; EOFError where the other side has ended."""
    assert stream is not None
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError
    loaded: NDArray[np.float32] = np.load(io.BytesIO(stream.read(int.from_bytes(head))), allow_pickle=False)
    return loaded


def _serve(path: Path) -> None:
    """Answer batches until stdin ends; what the libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    interpreter = tflite_interpreter(path, kernels="reference")
    while True:
        try:
            batch = _read(sys.stdin.buffer)
        except EOFError:
            return
        _write(answers, run_tflite(interpreter, torch.from_numpy(batch)).numpy())


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
