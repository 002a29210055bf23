"""The job of `attendc inspect`: what a file holds, whatever it is, layer by layer, and a drawing of it.

What needs torch or tensorflow is imported where such a file is read: a .tflite and an .onnx need neither.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attendc.converters.damage import names_damage
from attendc.converters.read_onnx import inspect_onnx
from attendc.converters.read_tflite import inspect_tflite
from attendc.errors import CheckpointError, OutputError
from attendc.jobs.outputs import check_new, write_text
from attendc.manifest import MANIFEST, read_manifest
from attendc.network.draw import draw_network
from attendc.network.from_onnx import onnx_network
from attendc.network.from_tflite import tflite_network
from attendc.network.rows import layer_rows, totals
from attendc.network.types import Network
from attendc.request import CheckpointRequest
from attendc.types import Preprocess

if TYPE_CHECKING:
    from torch import nn

__all__ = ["inspect_file"]

Found = tuple[dict[str, Any], Callable[[], Network]]
"""The facts, and what reads the layers."""

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_GRAPH_FILE = "saved_model.pb"
_READABLE = (
    "Give a checkpoint (.safetensors, .pt, .pth, .bin, .ckpt), a .tflite, .onnx, .pt2, a TorchScript file, "
    "a SavedModel, or a folder that attendc made"
)


def inspect_file(
    request: CheckpointRequest, *, layers: bool = True, drawing: Path | None = None, force: bool = False
) -> dict[str, Any]:
    """Return what is known of a .tflite, .onnx, .pt2, TorchScript file, SavedModel, checkpoint, or folder of attendc's.

    `layers` adds `totals` and `layers`, an entry for each operator with shapes, dtypes, scales, MACs and bytes; for a
    checkpoint whose network cannot be traced it adds `no_layers`, the reason.
    `drawing` is an .svg to draw the network into; one that is there is replaced with `force` alone.

    Raises:
        CheckpointError: if it is missing or cannot be read, or its layers cannot.
        OutputError: if the drawing cannot be written.
    """
    if drawing is not None:
        _check_drawing(drawing, force=force)
    path = request.file
    if path.is_dir() and not (path / _GRAPH_FILE).is_file():
        return _inspect_folder(path, drawing)
    facts, read = _reader(request)
    if layers or drawing is not None:
        try:
            network = read()
        except CheckpointError as e:
            if facts["format"] != "checkpoint" or drawing is not None:
                raise
            return facts | {"no_layers": e.message}
        if layers:
            facts |= {"totals": totals(network), "layers": layer_rows(network)}
        if drawing is not None:
            write_text(drawing, draw_network(network, path.name))
            facts["drawing"] = str(drawing)
    return facts


def _check_drawing(path: Path, *, force: bool) -> None:
    if path.suffix != ".svg":
        raise OutputError(f"{path} does not end in .svg", hint="The drawing is an SVG file")
    check_new(path, force=force)


def _reader(request: CheckpointRequest) -> Found:
    path = request.file
    if path.is_dir():
        return _savedmodel(path)
    if not path.is_file():
        raise CheckpointError(f"no file {path}", hint=_READABLE)
    if path.suffix == ".tflite":
        return inspect_tflite(path), lambda: tflite_network(path)
    if path.suffix == ".onnx":
        return inspect_onnx(path), lambda: onnx_network(path)
    if path.suffix == ".pt2":
        return _program(path)
    if path.suffix not in _CHECKPOINTS:
        raise CheckpointError(f"{path} ends in {path.suffix or 'nothing'}", hint=_READABLE)
    return _torchscript(request) if _is_torchscript(path) else _checkpoint(request)


def _is_torchscript(path: Path) -> bool:
    """Return whether it is an archive with code, as torch.jit.save writes it; nothing is unpickled."""
    if path.suffix == ".safetensors":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n.partition("/")[2] for n in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False  # no archive, or a damaged one: the reader of checkpoints says what is wrong with it
    return "constants.pkl" in names and any(n.startswith("code/") for n in names)


def _program(path: Path) -> Found:
    from attendc.converters.program import load_program
    from attendc.network.from_graph import graph_network
    from attendc.qdq import activation_nodes, layer_nodes

    saved = load_program(path)
    facts = {
        "format": "pt2",
        "bytes": path.stat().st_size,
        "quantized_tensors": len(activation_nodes(saved.graph.graph)),
        "quantized_layers": len(layer_nodes(saved.graph.graph)),
        "spec": dataclasses.asdict(saved.spec),
        "metadata": saved.stamp,
    }
    return facts, lambda: names_damage(lambda _: graph_network(saved.graph))(path)


def _checkpoint(request: CheckpointRequest) -> Found:
    from attendc.compress.capture import capture
    from attendc.metrics import count_params
    from attendc.network.from_graph import graph_network
    from attendc.opening import open_checkpoint

    opened = open_checkpoint(request)
    facts = {
        "format": "checkpoint",
        "bytes": request.file.stat().st_size,
        "sha256": opened.weights.sha256,
        "params": count_params(opened.model),
        "macs": _macs(opened.model, opened.spec.preprocess),
        "spec": dataclasses.asdict(opened.spec),
    }
    return facts, lambda: graph_network(capture(opened.model, opened.spec.preprocess))


def _macs(model: nn.Module, preprocess: Preprocess) -> int | None:
    """Return the MACs of a network; None where it does not take its input."""
    from attendc.compress.capture import check_classifier, probe
    from attendc.metrics import count_macs

    try:
        check_classifier(model, probe(preprocess))
    except CheckpointError:
        return None
    return count_macs(model, preprocess.input_shape)


def _torchscript(request: CheckpointRequest) -> Found:
    from attendc.converters.read_torchscript import inspect_torchscript
    from attendc.network.from_torchscript import torchscript_network

    facts = inspect_torchscript(request.file)
    told = tuple(facts["inputs"][0]["shape"][1:]) if facts["inputs"] else ()
    shape = request.input_shape or (told if len(told) == 3 and all(isinstance(d, int) for d in told) else None)
    return facts, lambda: torchscript_network(request.file, shape)


def _savedmodel(path: Path) -> Found:
    from attendc.converters.read_savedmodel import inspect_savedmodel
    from attendc.network.from_savedmodel import savedmodel_network

    return inspect_savedmodel(path), lambda: savedmodel_network(path)


def _inspect_folder(path: Path, drawing: Path | None) -> dict[str, Any]:
    """Return what the manifest of a folder lists.

    Raises:
        CheckpointError: if it is no folder of attendc's.
        OutputError: if a drawing of it is asked for.
    """
    if not (path / MANIFEST).is_file():
        raise CheckpointError(f"{path} is a folder without {MANIFEST} or {_GRAPH_FILE}", hint=_READABLE)
    if drawing is not None:
        raise OutputError(f"{path} is a folder of several files", hint="Give one of its files to draw")
    manifest = read_manifest(path)
    return {
        "format": "folder",
        "command": manifest.get("command", ""),
        "attendc": manifest.get("attendc", ""),
        "files": manifest["outputs"],
    }
