"""The quantized graph as a file: a torch.export program (.pt2) with its Spec and stamp inside."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

import attendc.qdq  # noqa: F401 - registers the operators that the file names
from attendc.checkpoint import spec_from_json, spec_to_json
from attendc.converters.program_check import checked_archive
from attendc.errors import CheckpointError
from attendc.exported import batch_dim
from attendc.files import replace_file
from attendc.types import METADATA_FILE, Spec, Stamp

__all__ = ["SavedProgram", "inference_module", "load_program", "save_program"]


@dataclass(frozen=True)
class SavedProgram:
    """A graph read from a .pt2: `graph` runs on any batch size, `stamp` is its provenance as written."""

    graph: fx.GraphModule
    spec: Spec
    stamp: dict[str, Any]


def inference_module(graph: fx.GraphModule) -> nn.Module:
    """Return the graph as a plain module in eval mode, which exporters and tracers insist on."""
    return fx.GraphModule(graph, copy.deepcopy(graph.graph)).eval()


def save_program(path: Path, graph: fx.GraphModule, spec: Spec, stamp: Stamp) -> None:
    """Write the graph as .pt2.

    Raises:
        OutputError: if the file cannot be written.
    """
    sample = torch.zeros(2, *spec.preprocess.input_shape)
    program = torch.export.export(inference_module(graph), (sample,), dynamic_shapes=({0: batch_dim()},))
    _forget_making(program)
    extra = json.dumps({"spec": spec_to_json(spec), "stamp": stamp.as_json()})
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, content, extra_files={METADATA_FILE: extra})
    with replace_file(path) as beside:
        beside.write_bytes(content.getvalue())


def _forget_making(program: torch.export.ExportedProgram) -> None:
    """Drop what differs from process to process: the addresses of graphs, and the lines of code that called."""
    for node in program.graph.nodes:
        for key in ("from_node", "stack_trace"):
            node.meta.pop(key, None)


def load_program(path: Path) -> SavedProgram:
    """Read a .pt2 that attendc wrote; torch gets it only after `checked_archive` has found nothing that runs code.

    Raises:
        CheckpointError: if it is missing, damaged, not attendc's, or could run code.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path}", hint="attendc quantize writes one: model.pt2")
    archive, extra = checked_archive(path), {METADATA_FILE: ""}
    try:
        program = torch.export.load(archive, extra_files=extra)
        graph = program.module(check_guards=False)
        content = json.loads(extra[METADATA_FILE])
        spec, stamp = spec_from_json(content["spec"]), dict(content["stamp"])
    except Exception as e:
        raise CheckpointError(
            f"{path} is no quantized graph of attendc's: {(str(e).strip() or type(e).__name__).splitlines()[0][:200]}",
            hint="Make it again with attendc quantize",
        ) from e
    assert isinstance(graph, fx.GraphModule)
    return SavedProgram(graph, spec, stamp)
