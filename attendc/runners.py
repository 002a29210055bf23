"""Who is asked in a verification: the float network, the graphs, every artefact, and the witnesses; by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import fx

from attendc.read_back import reference_graph
from attendc.runtimes import Runner, onnx_runner, savedmodel_runner, tflite_runner, torch_runner, torchscript_runner
from attendc.second_converter import tensorflow_tflite
from attendc.targets import BY_TENSORFLOW, FLOAT, REFERENCES, WITNESS, Candidate, family_of
from attendc.witness import ReferenceRunner

__all__ = ["runners_of"]

_LOAD: Mapping[str, Callable[[Path], Runner]] = {
    "tflite": tflite_runner,
    "onnx": onnx_runner,
    "torchscript": torchscript_runner,
    "savedmodel": savedmodel_runner,
}


def runners_of(
    candidates: Sequence[Candidate], network: torch.nn.Module, graph: fx.GraphModule | None
) -> dict[str, Callable[[], Runner]]:
    """Return what makes each runner, by name; a model is loaded only when its turn comes.

    `network` is the float one; `graph` the quantized one, from which the references of all quantized files are derived.
    """
    makers: dict[str, Callable[[], Runner]] = {FLOAT: lambda: torch_runner(network)}
    if graph is not None:
        families = dict.fromkeys(["int8", *(family_of(one.name) for one in candidates)])
        for family in families:
            if family != "float":
                makers[REFERENCES[family]] = lambda family=family: torch_runner(reference_graph(graph, family))  # type: ignore[misc]
    for one in candidates:
        makers[one.name] = lambda one=one: _LOAD[one.format](one.path)  # type: ignore[misc]
        if one.name == "tflite":
            makers[WITNESS] = lambda one=one: ReferenceRunner(one.path)  # type: ignore[misc]
        if one.name == "savedmodel_float32":
            makers[BY_TENSORFLOW] = lambda one=one: _by_tensorflow(one.path)  # type: ignore[misc]
    return makers


def _by_tensorflow(savedmodel: Path) -> Runner:
    """Return the runner of what TensorFlow's own converter makes of a float SavedModel.

    Raises:
        ConversionError: if it cannot.
    """
    with tempfile.TemporaryDirectory() as folder:
        tensorflow_tflite(savedmodel, Path(folder) / "model.tflite")
        return tflite_runner(Path(folder) / "model.tflite")
