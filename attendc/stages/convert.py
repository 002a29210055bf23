"""The step `convert`: files for runtimes, from the graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx

from attendc import __version__
from attendc.artefacts import FLOAT_PROGRAM, PROGRAM, Sources, Wish, artefact_entries, graph_entries, write_artefacts
from attendc.compress.capture import capture
from attendc.compress.passes.prove import proof_samples
from attendc.context import Context
from attendc.converters.program import SavedProgram, load_program, save_program
from attendc.errors import UsageError
from attendc.opening import Opened, open_told, some_inputs
from attendc.stages.caveat import caveat_section, told_unverified
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.model_facts import model_facts
from attendc.stages.quantize import Quantized
from attendc.stages.work import Made, Work
from attendc.targets import Candidate, is_quantized
from attendc.types import Spec, Stamp

__all__ = ["Converted", "Graphs", "convert", "graphs_of", "graphs_of_folder", "run"]


@dataclass(frozen=True)
class Graphs:
    """What artefacts are made from; `floating` and `quantized` as far as there are any.

    Attributes:
        spec: of the network.
        stamp: what an int8 artefact carries.
        floating: float32 graph, takes (N, C, H, W).
        quantized: int8 graph, takes the same.
    """

    spec: Spec
    stamp: Stamp
    floating: fx.GraphModule | None
    quantized: fx.GraphModule | None


@dataclass(frozen=True)
class Converted:
    """What `convert` returns, and `verify` takes: the graphs, and the files that were made from them."""

    graphs: Graphs
    made: tuple[Candidate, ...]


def convert(
    source: Quantized | Opened | Graphs,
    folder: Path | str,
    config: ConvertConfig | None = None,
    context: Context | None = None,
) -> Converted:
    """Write `model.int8.tflite` and the like into a folder, which is made if it is not there.

        files = attendc.convert(quantized, "out", attendc.ConvertConfig(to=("tflite",)))

    Args:
        source: what `quantize` or `load_checkpoint` returned.
        folder: where the files go; the graphs themselves are saved there too, as .pt2.
        config: which files.
        context: progress.

    Raises:
        UsageError: if a type is asked for that there is no graph of.
        ConversionError: if a converter cannot, or an int8 file would have float operators inside.
        OutputError: if a file cannot be written.
    """
    config, context = config or ConvertConfig(), context or Context()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    graphs = _graphs(source, context)
    _check_dtypes(graphs, config)
    save_graphs(folder, graphs)
    # What is converted is what was saved.
    floating, quantized = (
        load_program(folder / name).graph if (folder / name).exists() else None for name in (FLOAT_PROGRAM, PROGRAM)
    )
    return _write(dataclasses.replace(graphs, floating=floating, quantized=quantized), folder, config, context)


def run(config: ConvertConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: the artefacts, and the graphs where no stage before has saved them."""
    if {PROGRAM, FLOAT_PROGRAM} & work.files.keys():
        work.is_simplified()  # or raises: a graph that the checkpoint is ahead of is not converted
        graphs = _told(graphs_of(work.files), work, context)
        _check_dtypes(graphs, config)
        converted = _write(graphs, folder, config, context)
    else:
        graphs = _told(_graphs_of_source(work, context), work, context)
        _check_dtypes(graphs, config, source=work.source)
        save_graphs(folder, graphs)
        converted = _write(graphs, folder, config, context)
    _compare_bytes(converted.made, work, context)
    told: dict[str, Any] = {
        "inputs": {"data": graphs.spec.data},
        "outputs": {**graph_entries(folder), **artefact_entries(converted.made)},
        **caveat_section(graphs.stamp),
    }
    if "model" not in work.told and graphs.floating is not None:
        told["model"] = model_facts(graphs.floating, graphs.spec)
        told["history"] = list(graphs.spec.history)
    return Made(told, {"artefacts": [[c.format, c.dtype, c.path.name] for c in converted.made]})


def graphs_of_folder(folder: Path, *, data: str = "") -> Graphs:
    """Read the graphs in a folder that attendc made; `data` replaces what their Spec says.

    Raises:
        UsageError: if there is none.
        CheckpointError: if one is damaged.
    """
    held = {name: folder / name for name in (FLOAT_PROGRAM, PROGRAM) if (folder / name).exists()}
    if not held:
        raise UsageError(f"{folder} holds no {PROGRAM}", hint="Give a folder that attendc quantize made")
    return graphs_of(held, data=data)


def graphs_of(files: Mapping[str, Path], *, data: str = "") -> Graphs:
    """Read the graphs among these files, by name."""
    floating, quantized = (load_program(files[n]) if n in files else None for n in (FLOAT_PROGRAM, PROGRAM))
    return _of_programs(floating, quantized, data=data)


def save_graphs(folder: Path, graphs: Graphs) -> None:
    """Write the graphs, so that the folder can be verified alone."""
    if graphs.floating is not None:
        float_stamp = dataclasses.replace(graphs.stamp, dtype="float32", calibration="")
        save_program(folder / FLOAT_PROGRAM, graphs.floating, graphs.spec, float_stamp)
    if graphs.quantized is not None:
        save_program(folder / PROGRAM, graphs.quantized, graphs.spec, graphs.stamp)


def _graphs(source: Quantized | Opened | Graphs, context: Context) -> Graphs:
    if isinstance(source, Graphs):
        return source
    if isinstance(source, Quantized):
        return Graphs(source.spec, source.stamp, source.floating, source.graph)
    inputs = some_inputs(source.spec, context)
    samples = None if inputs is None else proof_samples(torch.split(inputs, 1))
    graph = capture(source.model, source.spec.preprocess, samples, context=context)
    known = source.weights
    stamp = Stamp(__version__, known.sha256, source.spec.labels, source.spec.preprocess, weights=known.origin)
    return Graphs(source.spec, stamp, graph, None)


def _told(graphs: Graphs, work: Work, context: Context) -> Graphs:
    return dataclasses.replace(graphs, stamp=told_unverified(graphs.stamp, work, context))


def _graphs_of_source(work: Work, context: Context) -> Graphs:
    request = work.checkpoint_request()
    path = request.path
    if path is None or not (path.is_dir() or path.suffix == ".pt2"):
        return _graphs(open_told(request, context), context)
    if path.is_dir():
        graphs = graphs_of_folder(path, data=work.data)
    else:
        saved = load_program(path)
        is_int8 = saved.stamp["dtype"] == "int8"
        graphs = _of_programs(None if is_int8 else saved, saved if is_int8 else None, data=work.data)
    if graphs.stamp.weights:
        context.warn(f"weights: {graphs.stamp.weights}")
    return graphs


def _of_programs(floating: SavedProgram | None, quantized: SavedProgram | None, *, data: str) -> Graphs:
    known = quantized or floating
    assert known is not None
    spec = dataclasses.replace(known.spec, data=data or known.spec.data)
    sha256, calibration = known.stamp["checkpoint_sha256"], known.stamp["calibration"]
    return Graphs(
        spec,
        Stamp(__version__, sha256, spec.labels, spec.preprocess, calibration, weights=known.stamp.get("weights", "")),
        floating.graph if floating else None,
        quantized.graph if quantized else None,
    )


def _check_dtypes(graphs: Graphs, config: ConvertConfig, *, source: Path | None = None) -> None:
    for dtype in config.dtypes or ():
        quantized = is_quantized(f"model_{dtype}")
        if (graphs.quantized if quantized else graphs.floating) is None:
            needed = "quantized" if quantized else "float"
            raise UsageError(
                f"{source or 'what is converted'} holds no {needed} graph, of which {dtype} is made",
                hint="attendc quantize makes a folder with both" if quantized else "Give the folder instead",
            )


def _write(graphs: Graphs, folder: Path, config: ConvertConfig, context: Context) -> Converted:
    held = [d for d, g in (("int8", graphs.quantized), ("float32", graphs.floating)) if g is not None]
    sources = Sources(graphs.floating, graphs.quantized, graphs.stamp)
    samples = some_inputs(graphs.spec, context) if "onnx" in config.to else None
    wish = Wish(config.to, config.dtypes or held, config.io, config.opset, config.ir_version, config.allow_float)
    made = write_artefacts(folder, sources, wish, context, samples=samples)
    return Converted(graphs, tuple(made))


def _compare_bytes(made: Sequence[Candidate], work: Work, context: Context) -> None:
    """Say how far the file is from a budget in bytes, which was met by an estimate."""
    budget = work.facts.get("budget")
    for one in made:
        if one.name == "tflite" and budget is not None and budget["unit"] == "bytes":
            size = one.path.stat().st_size
            context.say(f"{one.path.name}: {size:,} bytes, {size / budget['limit']:.3f} of the budget")
