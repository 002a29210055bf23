"""The job of `attendc inspect`: what a file holds, whatever it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from attendc.converters.program import load_program
from attendc.converters.read_onnx import inspect_onnx
from attendc.converters.read_tflite import inspect_tflite
from attendc.errors import CheckpointError
from attendc.metrics import count_macs, count_params
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.qdq import activation_nodes, layer_nodes

__all__ = ["inspect_file"]


def inspect_file(request: CheckpointRequest) -> dict[str, Any]:
    """Return what is known of a .tflite, .onnx, .pt2 or checkpoint.

    Raises:
        CheckpointError: if it is missing or cannot be read.
    """
    path = request.path
    if not path.is_file():
        raise CheckpointError(f"no file {path}", hint="Give a checkpoint, a .tflite, a .onnx or a .pt2")
    if path.suffix == ".tflite":
        return inspect_tflite(path)
    if path.suffix == ".onnx":
        return inspect_onnx(path)
    if path.suffix == ".pt2":
        return _inspect_program(path)
    return _inspect_checkpoint(request)


def _inspect_program(path: Path) -> dict[str, Any]:
    saved = load_program(path)
    return {
        "format": "pt2",
        "bytes": path.stat().st_size,
        "quantized_tensors": len(activation_nodes(saved.graph.graph)),
        "quantized_layers": len(layer_nodes(saved.graph.graph)),
        "spec": dataclasses.asdict(saved.spec),
        "metadata": saved.stamp,
    }


def _inspect_checkpoint(request: CheckpointRequest) -> dict[str, Any]:
    opened = open_checkpoint(request)
    return {
        "format": "checkpoint",
        "bytes": request.path.stat().st_size,
        "sha256": opened.weights.sha256,
        "params": count_params(opened.model),
        "macs": count_macs(opened.model, opened.spec.preprocess.input_shape),
        "spec": dataclasses.asdict(opened.spec),
    }
