"""Writing the artefacts that were asked for, and refusing an int8 file that is not int8 throughout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, fx

from attendc.context import Context
from attendc.converters.read_onnx import inspect_onnx
from attendc.converters.read_savedmodel import inspect_savedmodel
from attendc.converters.read_tflite import inspect_tflite
from attendc.converters.read_torchscript import inspect_torchscript
from attendc.converters.tflite_io import Io
from attendc.converters.tflite_layout import permutes
from attendc.converters.to_onnx import OPSET, write_onnx
from attendc.converters.to_savedmodel import write_savedmodel
from attendc.converters.to_tflite import convert_graph, write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.errors import ConversionError, UsageError
from attendc.manifest import file_entry
from attendc.qdq import quant_table
from attendc.targets import DTYPES_OF, Candidate, file_name, is_quantized, pairs_of
from attendc.types import Stamp

__all__ = [
    "FLOAT_PROGRAM",
    "PROGRAM",
    "Sources",
    "Wish",
    "artefact_entries",
    "checkpoint_entry",
    "graph_entries",
    "inspect_artefact",
    "write_artefacts",
]

PROGRAM, FLOAT_PROGRAM = "model.int8.pt2", "model.float32.pt2"

_INSPECTORS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "tflite": inspect_tflite,
    "onnx": inspect_onnx,
    "torchscript": inspect_torchscript,
    "savedmodel": inspect_savedmodel,
}


@dataclass(frozen=True)
class Sources:
    """The graphs that artefacts are made from; None where no artefact of that dtype was asked for."""

    floating: fx.GraphModule | None
    quantized: fx.GraphModule | None
    stamp: Stamp


def inspect_artefact(kind: str, path: Path) -> dict[str, Any]:
    """Return what a file holds: `ops`, `float_ops`, `transposes` where the format can tell."""
    return _INSPECTORS[kind](path)


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


@dataclass(frozen=True)
class Wish:
    """What is to be written.

    Attributes:
        formats: of `attendc.targets.FORMATS`.
        dtypes: of `attendc.targets.DTYPES`; a format that has not all of them is written in those that it has.
        io: type of the input and output of a quantized TFLite file.
        opset: of ONNX; None: `to_onnx.OPSET`.
        ir_version: of the ONNX file; None: the one that goes with the opset.
        allow_float: keep an int8 file with float operators, and say so.
    """

    formats: Sequence[str]
    dtypes: Sequence[str]
    io: Io = "int8"
    opset: int | None = None
    ir_version: int | None = None
    allow_float: bool = False


def write_artefacts(
    folder: Path, sources: Sources, wish: Wish, context: Context, *, samples: Tensor | None = None
) -> list[Candidate]:
    """Write each format in each of its types that was asked for, and return them.

    `samples` are real inputs (N, C, H, W), on which a simplified ONNX model is compared with the one before.

    Raises:
        UsageError: if no format has any of the types.
        ConversionError: if a converter cannot, or an int8 file has float or layout operators and `allow_float` is off.
    """
    wanted = pairs_of(tuple(wish.formats), tuple(wish.dtypes))
    for text in _left_out(wish):
        context.say(text)
    if not wanted:
        raise UsageError(f"{', '.join(_left_out(wish))}", hint=f"Types that there are: {_all_types()}")
    made = []
    writer = _Writer(sources, wish, samples)
    with context.progress("convert", len(wanted)) as advance:
        for kind, dtype in wanted:
            one = Candidate(kind, dtype, folder / file_name(kind, dtype))
            for note in writer.write(one):
                context.warn(f"{one.path.name}: {note}")
            if dtype == "int8":
                _check_int8(one, sources, context, allow_float=wish.allow_float)
            made.append(one)
            advance(1, one.path.name)
    return made


def _left_out(wish: Wish) -> list[str]:
    """Return a sentence for each type that a format does not have."""
    return [
        f"{kind} is not written in {dtype}"
        for kind in wish.formats
        for dtype in wish.dtypes
        if dtype not in DTYPES_OF[kind]
    ]


def _all_types() -> str:
    return "; ".join(f"{kind}: {', '.join(dtypes)}" for kind, dtypes in DTYPES_OF.items())


@dataclass(frozen=True)
class _Writer:
    """Writes artefacts; what litert-torch makes of a graph is kept for the other types of the same graph."""

    sources: Sources
    wish: Wish
    samples: Tensor | None
    converted: dict[bool, bytes] = field(default_factory=dict)

    def write(self, one: Candidate) -> Sequence[str]:
        """Write one artefact and return what there is to say."""
        quantized = is_quantized(one.name)
        graph = self.sources.quantized if quantized else self.sources.floating
        assert graph is not None, "no artefact without the graph of its dtype"
        stamp = replace(self.sources.stamp, dtype=one.dtype)
        if not quantized:
            stamp = replace(stamp, calibration="")
        if one.format == "tflite":
            return self._write_tflite(one, graph, stamp)
        if one.format == "onnx":
            return self._write_onnx(one, graph, stamp)
        if one.format == "savedmodel":
            return write_savedmodel(one.path, graph, stamp)
        write_torchscript(one.path, graph, stamp)
        return ()

    def _write_tflite(self, one: Candidate, graph: fx.GraphModule, stamp: Stamp) -> Sequence[str]:
        quantized = is_quantized(one.name)
        if quantized not in self.converted:
            self.converted[quantized] = convert_graph(graph, stamp.preprocess, quantized=quantized)
        return write_tflite(one.path, graph, stamp, io=self.wish.io, converted=self.converted[quantized])

    def _write_onnx(self, one: Candidate, graph: fx.GraphModule, stamp: Stamp) -> Sequence[str]:
        return write_onnx(
            one.path,
            graph,
            stamp,
            layers=quant_table(graph).layers if one.dtype == "int8" else None,
            opset=self.wish.opset or OPSET,
            ir_version=self.wish.ir_version,
            samples=self.samples,
        )


def _check_int8(one: Candidate, sources: Sources, context: Context, *, allow_float: bool) -> None:
    """Refuse an int8 TFLite file that is not int8 throughout; of other formats say it."""
    found = inspect_artefact(one.format, one.path)
    assert sources.quantized is not None
    own = permutes(sources.quantized) if one.format == "tflite" else 0
    faults = [
        f"{found[key]} {words}"
        for key, words, allowed in (
            ("float_ops", "float operators", 0),
            ("transposes", "TRANSPOSE", own),
            ("inner_quantize_ops", "QUANTIZE or DEQUANTIZE inside", 0),
        )
        if (one.format == "tflite" and found.get(key, 0) > allowed) or (key == "float_ops" and found.get(key))
    ]
    if not faults:
        return
    text = f"{one.path.name} is not int8 throughout: {', '.join(faults)}"
    if found.get("float_op_names"):
        text += f" ({', '.join(found['float_op_names'][:3])})"
    # The promise of int8 throughout is TFLite's. Others run the same graph, with fewer integer kernels to run it with.
    if not allow_float and one.format == "tflite":
        raise ConversionError(text, hint="Add --allow-float to keep it so")
    context.warn(text)
