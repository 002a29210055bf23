"""Writing the artefacts that were asked for, and refusing an int8 file that is not int8 throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import fx

from attendc.context import Context
from attendc.converters.read_onnx import inspect_onnx
from attendc.converters.read_tflite import inspect_tflite
from attendc.converters.tflite_io import Io
from attendc.converters.to_onnx import write_onnx
from attendc.converters.to_tflite import write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.errors import ConversionError
from attendc.manifest import file_entry
from attendc.parity import Candidate
from attendc.qdq import quant_table
from attendc.types import Stamp

__all__ = [
    "DTYPES",
    "FLOAT_PROGRAM",
    "FORMATS",
    "PROGRAM",
    "Sources",
    "artefact_entries",
    "checkpoint_entry",
    "file_name",
    "graph_entries",
    "inspect_artefact",
    "write_artefacts",
]

PROGRAM, FLOAT_PROGRAM = "model.int8.pt2", "model.float32.pt2"

FORMATS = ("tflite", "onnx", "torchscript")
DTYPES = ("int8", "float32")
_SUFFIXES = {"tflite": "tflite", "onnx": "onnx", "torchscript": "ts.pt"}


@dataclass(frozen=True)
class Sources:
    """The graphs that artefacts are made from; None where no artefact of that dtype was asked for."""

    floating: fx.GraphModule | None
    quantized: fx.GraphModule | None
    stamp: Stamp


def file_name(kind: str, dtype: str) -> str:
    """Return `model.int8.tflite` and the like."""
    return f"model.{dtype}.{_SUFFIXES[kind]}"


def inspect_artefact(kind: str, path: Path) -> dict[str, Any]:
    """Return what a file holds: `ops`, `float_ops`, `transposes` where the format can tell."""
    if kind == "tflite":
        return inspect_tflite(path)
    if kind == "onnx":
        return inspect_onnx(path)
    return {"format": kind, "bytes": path.stat().st_size}


def graph_entries(folder: Path) -> dict[str, Any]:
    """Return the manifest's entry of every graph in a folder, by file name."""
    return {
        name: {"format": "pt2", "dtype": dtype, **file_entry(folder / name)}
        for name, dtype in ((PROGRAM, "int8"), (FLOAT_PROGRAM, "float32"))
        if (folder / name).exists()
    }


def checkpoint_entry(path: Path) -> dict[str, Any]:
    """Return the manifest's entry of a checkpoint."""
    return {"format": "safetensors", "dtype": "float32", **file_entry(path)}


def artefact_entries(made: Sequence[Candidate]) -> dict[str, Any]:
    """Return the manifest's entry of every artefact, by file name."""
    entries: dict[str, Any] = {}
    for one in made:
        facts = inspect_artefact(one.format, one.path)
        entries[one.path.name] = {
            "format": one.format,
            "dtype": one.dtype,
            "name": one.name,
            **file_entry(one.path),
            **{k: facts[k] for k in ("ops", "float_ops", "transposes") if k in facts},
        }
    return entries


def write_artefacts(
    folder: Path,
    sources: Sources,
    *,
    formats: Sequence[str],
    dtypes: Sequence[str],
    io: Io,
    allow_float: bool,
    context: Context,
) -> list[Candidate]:
    """Write each format in each dtype that exists, and return them.

    Raises:
        ConversionError: if a converter cannot, or an int8 file has float or layout operators and `allow_float` is off.
    """
    wanted = [(k, d) for d in dtypes for k in formats if (k, d) != ("torchscript", "int8")]
    if "torchscript" in formats and "int8" in dtypes:
        context.say("torchscript is written in float32 only")
    made = []
    with context.progress("convert", len(wanted)) as advance:
        for kind, dtype in wanted:
            one = Candidate(kind, dtype, folder / file_name(kind, dtype))
            _write(one, sources, io, context)
            if dtype == "int8":
                _check_int8(one, context, allow_float=allow_float)
            made.append(one)
            advance(1, one.path.name)
    return made


def _write(one: Candidate, sources: Sources, io: Io, context: Context) -> None:
    graph = sources.quantized if one.dtype == "int8" else sources.floating
    assert graph is not None, "no artefact without the graph of its dtype"
    stamp = sources.stamp
    if one.dtype != "int8":
        stamp = replace(stamp, dtype=one.dtype, calibration="")
    if one.format == "tflite":
        write_tflite(one.path, graph, stamp, io=io)
    elif one.format == "onnx":
        layers = quant_table(graph).layers if one.dtype == "int8" else None
        for note in write_onnx(one.path, graph, stamp, layers=layers):
            context.warn(note)
    else:
        write_torchscript(one.path, graph, stamp)


def _check_int8(one: Candidate, context: Context, *, allow_float: bool) -> None:
    found = inspect_artefact(one.format, one.path)
    faults = [
        f"{found[key]} {words}"
        for key, words in (
            ("float_ops", "float operators"),
            ("transposes", "TRANSPOSE"),
            ("inner_quantize_ops", "QUANTIZE or DEQUANTIZE inside"),
        )
        if found.get(key)
    ]
    if not faults:
        return
    text = f"{one.path.name} is not int8 throughout: {', '.join(faults)}"
    if found.get("float_op_names"):
        text += f" ({', '.join(found['float_op_names'][:3])})"
    # The promise of int8 throughout is TFLite's. ONNX runs the same graph, with fewer integer kernels to run it with.
    if not allow_float and one.format == "tflite":
        raise ConversionError(text, hint="Add --allow-float to keep it so")
    context.warn(text)
