"""What TFLite and ONNX files cost: instructions on emulated cores, milliseconds here and on boards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attendc.arm.board.host import SshOptions, parse_host
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.arm.machine.ready import check_ready
from attendc.arm.measure.layers import count_layers, macs_of
from attendc.arm.measure.local import LOCAL, time_here
from attendc.arm.measure.measured import Layer, Measured
from attendc.arm.measure.timing import TimeOptions
from attendc.arm.ops import ops_of_tflite
from attendc.context import Context
from attendc.errors import CheckpointError, ConversionError, UsageError
from attendc.tflite_check import check_tflite

__all__ = ["SSH", "bench", "files_of", "is_timed", "places_of"]

SSH = "ssh:"
_RUN_THERE = (".tflite", ".onnx")


def bench(
    files: Sequence[Path],
    places: Sequence[str],
    options: TimeOptions,
    context: Context,
    *,
    layers: bool = False,
    ssh: SshOptions | None = None,
) -> list[Measured]:
    """Return what each file costs in each place, file by file, in the order given.

    A folder stands for the TFLite and ONNX files in it. Places are names of cores, where instructions are counted, and
    `local` and `ssh:HOST`, where inferences are timed as `options` say. `layers` tells the instructions of each layer
    of TFLite files too.

    Raises:
        UsageError: for a place that is not known or not set up, a folder without such files.
        CheckpointError: if a file is missing or damaged.
        ConversionError: if a file cannot run there, by its name.
    """
    found, where = files_of(files, context), places_of(places)
    for place in where:
        if not is_timed(place):
            check_ready(core_of(place))
    measured = {}
    for place in where:
        if is_timed(place):
            measured[place] = _timed(place, found, options, context, ssh or SshOptions())
        else:
            measured[place] = _counted(place, found, context, layers=layers)
    return [measured[place][index] for index in range(len(found)) for place in where]


def places_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the places of `--on`, each a name or several with commas, each place once.

    Raises:
        UsageError: if one is neither a core, `local`, nor `ssh:HOST`, or there is none.
    """
    names = tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("no place to measure in", hint="For example --on cortex-a76,cortex-a72")
    for name in names:
        if name.startswith(SSH):
            parse_host(name.removeprefix(SSH))
        elif not is_timed(name):
            core_of(name)
    return names


def files_of(paths: Sequence[Path], context: Context) -> list[Path]:
    """Return the TFLite and ONNX files, with those in folders, each once; all of them are there.

    Raises:
        CheckpointError: if one is missing, or a TFLite file damaged.
        UsageError: for other formats, and for folders without such files.
    """
    found: dict[Path, Path] = {}
    for file in (file for path in paths for file in _expand(path, context)):
        found.setdefault(file.resolve(), file)
    for file in found.values():
        if file.suffix == ".tflite":
            check_tflite(file)
    return list(found.values())


def _expand(path: Path, context: Context) -> list[Path]:
    if not path.exists():
        raise CheckpointError(f"no file {path}", hint="Give .tflite and .onnx files, or folders that attendc made")
    if path.is_file() and path.suffix in _RUN_THERE:
        return [path]
    if path.is_file() or (path / "saved_model.pb").is_file():
        kind = "a SavedModel" if path.is_dir() else f"a {''.join(path.suffixes[-2:]) or 'file of no known format'}"
        raise UsageError(
            f"{path} is {kind}: the runtimes there are LiteRT and onnxruntime", hint="Give its .tflite or .onnx file"
        )
    inside = sorted(p for p in path.iterdir() if p.suffix in _RUN_THERE and p.is_file())
    if not inside:
        raise UsageError(f"{path} holds no .tflite and no .onnx file", hint="Convert with --to tflite,onnx")
    context.say(f"{path}: {', '.join(p.name for p in inside)}")
    return inside


def is_timed(place: str) -> bool:
    """Return whether milliseconds are measured there, not instructions."""
    return place == LOCAL or place.startswith(SSH)


def _timed(
    place: str, files: Sequence[Path], options: TimeOptions, context: Context, ssh: SshOptions
) -> list[Measured]:
    if place == LOCAL:
        times = time_here(files, options, context)
    else:
        from attendc.arm.board.ssh import time_over_ssh

        times = time_over_ssh(place.removeprefix(SSH), files, options, context, ssh=ssh)
    return [Measured(file, place, timing=timing) for file, timing in zip(files, times, strict=True)]


def _counted(place: str, files: Sequence[Path], context: Context, *, layers: bool) -> list[Measured]:
    core = core_of(place)
    cut = [file for file in files if layers and file.suffix == ".tflite"]
    if layers and len(cut) < len(files):
        context.say("layers are told of TFLite files only: onnxruntime makes others of the operators of a part")
    by_file = {file: _whole(place, *count_layers(file, core, context)) for file in cut}
    rest = [file for file in files if file not in by_file]
    by_file |= {
        answer.file: _whole(place, answer)
        for answer in emulate(core, [Task("count", f) for f in rest], context=context)
    }
    return [by_file[file] for file in files]


def _whole(
    place: str, answer: Answer, layers: tuple[Layer, ...] | None = None, notes: tuple[str, ...] = ()
) -> Measured:
    if answer.error:
        raise ConversionError(f"the runtime on {place} cannot run {answer.file}: {answer.error}")
    macs = macs_of(ops_of_tflite(answer.file)) if answer.file.suffix == ".tflite" else None
    return Measured(answer.file, place, answer.instructions, answer.partitions, answer.operators, macs, layers, notes)
