"""TFLite files of networks, made once, and what the emulated cores count of them, counted once.

What is kept lies in a folder: a network's files in a folder of its own, whose name tells its structure, so that a
network that was changed is made again; the counts in `counts.json`, by core, by the bytes of the file, and by the
emulated machine that counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arm_networks import Network, opened
from arm_tools import attendc_files

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.arm.machine.record import read_record
from attendc.files import sha256
from attendc.jobs.outputs import write_text
from attendc.opening import Opened

__all__ = ["CORES", "Counts", "M", "counted", "made", "network_files"]

CORES = ("cortex-a76", "cortex-a72")
M = 1e6
NAMES = ("model.int8.tflite", "model.float32.tflite")
KEPT = ("instructions", "partitions", "operators", "called")
Counts = Mapping[str, Mapping[Path, Answer]]
"""Core -> file -> what was counted."""


def made(folder: Path, make: Callable[[Path], object], names: Sequence[str]) -> list[Path]:
    """Return the files of a folder; made now unless they are there."""
    paths = [folder / name for name in names]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
    return paths


def network_files(network: Network, keep: Path) -> tuple[Path, Path]:
    """Return the int8 and the float32 TFLite file of a network."""
    source = opened(network)
    plain = "".join(c if c.isalnum() else "_" for c in network.name)
    folder = keep / f"{plain}-{_structure(source)}"
    small, whole = made(folder, lambda where: attendc_files(source, where, allow_float=network.allow_float), NAMES)
    return small, whole


def _structure(source: Opened) -> str:
    told = f"{source.model}{source.spec.preprocess.input_shape}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def counted(files: Iterable[Path], keep: Path | None = None) -> Counts:
    """Return what each core counts of each file: all new ones in one process a core, the others from `keep`."""
    wanted = list(dict.fromkeys(files))
    return {core: dict(zip(wanted, _counted_on(core, wanted, keep), strict=True)) for core in CORES}


def _counted_on(core: str, files: Sequence[Path], keep: Path | None) -> list[Answer]:
    store = None if keep is None else keep / "counts.json"
    kept: dict[str, dict[str, Any]] = json.loads(store.read_text()) if store is not None and store.exists() else {}
    record = read_record()
    place = f"{core}, lock {record.lock[:8]}, qemu {record.qemu_version}" if record else core
    keys = {file: f"{place}, {sha256(file)}" for file in files}
    answers = emulate(core_of(core), [Task("count", file) for file in files if keys[file] not in kept])
    new = {answer.file: answer for answer in answers}
    kept |= {keys[a.file]: {name: getattr(a, name) for name in KEPT} for a in answers if not a.error}
    if store is not None:
        write_text(store, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return [new.get(file) or Answer(file, **kept[keys[file]]) for file in files]
