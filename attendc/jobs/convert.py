"""The job of `attendc convert`: a checkpoint, a saved graph or a folder of attendc's becomes files for runtimes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import fx

from attendc import __version__
from attendc.compress.capture import capture
from attendc.context import Context
from attendc.converters.program import SavedProgram, load_program, save_program
from attendc.converters.tflite_io import Io
from attendc.data.images import evenly
from attendc.errors import UsageError
from attendc.files import new_folder
from attendc.jobs.artefacts import (
    FLOAT_PROGRAM,
    PROGRAM,
    Sources,
    output_entries,
    write_artefacts,
)
from attendc.manifest import file_entry, versions, write_manifest
from attendc.opening import CheckpointRequest, check_outputs, open_checkpoint, open_dataset
from attendc.parity import Gates, check_gates, default_images, verify
from attendc.types import Preprocess, Spec, Stamp

__all__ = ["ConvertRequest", "convert"]


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert: `source` is a checkpoint, or a .pt2 or folder that `attendc quantize` made.

    Attributes:
        source: as above; its `data` is what the result is verified on.
        output: the folder to make.
        formats: of the artefacts.
        dtypes: of the artefacts; int8 needs a quantized source.
        io: type of the int8 TFLite file's input and output.
        gates: what must hold.
        images: how many images verification looks at; None: by the size of the network.
        force: replace an existing folder.
    """

    source: CheckpointRequest
    output: Path
    formats: Sequence[str] = ("tflite", "onnx", "torchscript")
    dtypes: Sequence[str] = ("float32",)
    io: Io = "int8"
    gates: Gates = field(default_factory=Gates)
    images: int | None = None
    force: bool = False


@dataclass(frozen=True)
class _Graphs:
    """What a source held; `floating` and `quantized` as far as it has them."""

    spec: Spec
    floating: fx.GraphModule | None
    quantized: fx.GraphModule | None
    checkpoint_sha256: str
    calibration: str


def convert(request: ConvertRequest, context: Context) -> dict[str, Any]:
    """Convert, verify, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; then no folder is left behind.
    """
    graphs = _open(request.source)
    missing = [
        d for d, g in (("int8", graphs.quantized), ("float32", graphs.floating)) if d in request.dtypes and g is None
    ]
    if missing:
        raise UsageError(
            f"{request.source.path} holds no {missing[0]} graph",
            hint="attendc quantize makes a folder with both" if missing == ["int8"] else "Give the folder instead",
        )
    network = graphs.floating or graphs.quantized
    assert network is not None, "a source has one graph at least"
    dataset = open_dataset(graphs.spec, seed=context.seed)
    check_outputs(network, graphs.spec, dataset)
    with new_folder(request.output, force=request.force) as folder:
        sources = _save(folder, request, graphs)
        made = write_artefacts(
            folder,
            sources,
            formats=request.formats,
            dtypes=request.dtypes,
            io=request.io,
            allow_float=True,
            context=context,
        )
        how = graphs.spec.preprocess
        report = verify(
            made,
            network=network,
            graph=graphs.quantized,
            images=evenly(dataset.test, request.images or default_images(network, how)),
            preprocess=how,
            gates=request.gates,
            context=context,
        )
        check_gates(report)
        manifest = {
            "attendc": __version__,
            "command": "convert",
            "inputs": {"source": _source_entry(request.source.path), "data": graphs.spec.data},
            "options": dataclasses.asdict(request),
            "seed": context.seed,
            "versions": versions(),
            "outputs": output_entries(folder, made),
            "verification": report.as_json(),
            "warnings": list(context.warnings),
        }
        write_manifest(folder, manifest)
    return manifest


def _open(source: CheckpointRequest) -> _Graphs:
    path = source.path
    if path.is_dir():
        floating, quantized = (
            load_program(path / name) if (path / name).exists() else None for name in (FLOAT_PROGRAM, PROGRAM)
        )
        if floating is None and quantized is None:
            raise UsageError(f"{path} holds no {PROGRAM}", hint="Give a folder that attendc quantize made")
        return _from_programs(source, floating, quantized)
    if path.suffix == ".pt2":
        saved = load_program(path)
        is_int8 = saved.stamp["dtype"] == "int8"
        return _from_programs(source, None if is_int8 else saved, saved if is_int8 else None)
    opened = open_checkpoint(source)
    graph = capture(opened.model, opened.spec.preprocess)
    return _Graphs(opened.spec, graph, None, opened.weights.sha256, "")


def _from_programs(source: CheckpointRequest, floating: SavedProgram | None, quantized: SavedProgram | None) -> _Graphs:
    known = quantized or floating
    assert known is not None
    spec = dataclasses.replace(known.spec, data=source.data or known.spec.data)
    return _Graphs(
        spec,
        floating.graph if floating else None,
        quantized.graph if quantized else None,
        known.stamp["checkpoint_sha256"],
        known.stamp["calibration"],
    )


def _save(folder: Path, request: ConvertRequest, graphs: _Graphs) -> Sources:
    """Write the graphs of the wanted dtypes beside the artefacts, so that the folder can be verified alone."""
    how: Preprocess = graphs.spec.preprocess
    stamp = Stamp(__version__, graphs.checkpoint_sha256, graphs.spec.labels, how, graphs.calibration)
    if graphs.floating is not None:
        float_stamp = dataclasses.replace(stamp, dtype="float32", calibration="")
        save_program(folder / FLOAT_PROGRAM, graphs.floating, graphs.spec, float_stamp)
    if graphs.quantized is not None:
        save_program(folder / PROGRAM, graphs.quantized, graphs.spec, stamp)
    return Sources(graphs.floating, graphs.quantized, stamp)


def _source_entry(path: Path) -> dict[str, Any]:
    return {"path": str(path), **(file_entry(path) if path.is_file() else {})}
