"""The job of `attendc bench`: what files cost on emulated cores, on this computer and on boards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.arm.board.host import SshOptions
from attendc.arm.measure.bench import bench
from attendc.arm.measure.timing import TimeOptions
from attendc.context import Context
from attendc.jobs.outputs import check_new, write_text
from attendc.network.onnx_macs import with_onnx_macs

__all__ = ["BenchRequest", "bench_files"]


@dataclass(frozen=True)
class BenchRequest:
    """Attributes:
    files: .tflite and .onnx files, and folders that hold such.
    places: cores to count instructions on, `local` and `ssh:HOST` to take the time in; several may stand in one text,
        with commas.
    options: of taking the time.
    layers: tell the instructions of each layer of TFLite files.
    ssh: how to reach boards.
    output: a .json to write the entries to; `force` replaces one that is there.
    """

    files: tuple[Path, ...]
    places: tuple[str, ...]
    options: TimeOptions = field(default_factory=TimeOptions)
    layers: bool = False
    ssh: SshOptions = field(default_factory=SshOptions)
    output: Path | None = None
    force: bool = False


def bench_files(request: BenchRequest, context: Context) -> list[dict[str, Any]]:
    """Return an entry for each file and place, with `instructions` and `partitions`, or with `milliseconds`.

    Raises:
        UsageError: for a place that is not known, not set up or not reached.
        CheckpointError: if a file is missing or damaged.
        ConversionError: naming a file that cannot run there.
        OutputError: if the output cannot be written.
    """
    if request.output is not None:
        check_new(request.output, force=request.force)
    found = bench(request.files, request.places, request.options, context, layers=request.layers, ssh=request.ssh)
    entries = [with_onnx_macs(measured).as_json() for measured in found]
    if request.output is not None:
        write_text(request.output, json.dumps(entries, indent=2) + "\n")
    return entries
