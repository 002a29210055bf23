"""Predicted against counted, of whole networks."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from attendc.arm.cores import CORES
from attendc.arm.cost.cost import predict
from attendc.arm.emulation.emulator import Task, emulate
from attendc.arm.ops import ops_of_tflite

__all__ = ["validate"]


def validate(paths: Sequence[Path]) -> None:
    """Print a line for each file with its counts in millions and the error of the prediction on each core."""
    files = sorted(file for path in paths for file in (path.glob("*.tflite") if path.is_dir() else [path]))
    ops = [ops_of_tflite(file) for file in files]
    table: list[list[tuple[float, float]]] = []
    for name, core in CORES.items():
        counted = [answer.instructions or 0 for answer in emulate(core, [Task("count", file) for file in files])]
        table.append([(count, predict(of, name) / count - 1) for count, of in zip(counted, ops, strict=True)])
    width = max(len(file.name) for file in files)
    lines = [" ".join([" " * width, *(f"{name:>17}" for name in CORES)])]
    for file, row in zip(files, zip(*table, strict=True), strict=True):
        cells = [f"{count / 1e6:9.2f} {100 * error:+6.1f}%" for count, error in row]
        lines.append(" ".join([f"{file.name:{width}}", *cells]))
    medians = [statistics.median(abs(error) for _, error in column) for column in table]
    lines.append(" ".join([f"{'median of errors':{width}}", *(f"{100 * m:16.1f}%" for m in medians)]))
    sys.stdout.write("\n".join(lines) + "\n")
