"""A TFLite file cut off after each of its layers: what a cut has more than the cut before it is the layer's own.

A layer is an operator, or several that XNNPACK folds into one: see attendc/arm/ops.py. A cut keeps every tensor that
the layers after it read as an output, so that nothing before it is dropped as unread.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attendc.arm.ops import Op, ops_of_model
from attendc.converters.tflite_schema import drop_unread, read_model, write_model
from attendc.errors import ConversionError

__all__ = ["Cuttable"]


class Cuttable:
    """A file and its layers.

    Attributes:
        layers: in the order in which they run.
    """

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ConversionError: if it has more than one subgraph.
        """
        self._model = read_model(path)
        if len(self._model.subgraphs) != 1:
            raise ConversionError(f"{path} has {len(self._model.subgraphs)} subgraphs", hint="Leave out --layers")
        self.layers = sorted(ops_of_model(self._model), key=lambda op: op.index[-1])

    def shape(self, op: Op) -> tuple[int, ...]:
        """Return the sizes of what a layer writes."""
        graph = self._model.subgraphs[0]
        return tuple(int(size) for size in graph.tensors[int(graph.operators[op.index[-1]].outputs[0])].shape)

    def write(self, path: Path, count: int) -> None:
        """Write the file with its first `count` layers only."""
        later = {index for op in self.layers[count:] for index in op.index}
        model, graph = _shallow(self._model)
        rest = [graph.operators[index] for index in sorted(later)]
        graph.operators = [o for index, o in enumerate(graph.operators) if index not in later]
        graph.outputs = _read_later(graph, rest)
        drop_unread(model)
        write_model(path, model)


def _shallow(model: Any) -> tuple[Any, Any]:
    """Return a copy that shares the weights, and its graph; without signatures, which name the outputs."""
    twin, graph = copy.copy(model), copy.copy(model.subgraphs[0])
    graph.tensors = [copy.copy(tensor) for tensor in graph.tensors]
    graph.operators = [copy.copy(operator) for operator in graph.operators]
    twin.subgraphs, twin.signatureDefs = [graph], []
    twin.metadata, twin.metadataBuffer = [], None
    return twin, graph


def _read_later(graph: Any, rest: Sequence[Any]) -> list[int]:
    """Return what the operators in `graph` write, and those in `rest` or the caller read."""
    written = [int(o) for operator in graph.operators for o in operator.outputs]
    wanted = {int(i) for operator in rest for i in operator.inputs} | set(map(int, graph.outputs))
    return [tensor for tensor in written if tensor in wanted]
