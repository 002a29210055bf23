"""A TFLite file cut off after each of its layers, to count what a layer adds.

A layer is an operator, or several that XNNPACK folds into one: see attendc/arm/ops.py. A cut keeps every tensor that
the layers after it read as an output, so that nothing before it is dropped as unread.
"""

from __future__ import annotations

import copy
import math
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
            CheckpointError: if it is no TFLite file.
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

    def parts(self) -> list[tuple[int, int]]:
        """Return (first, end) of parts of the layers, each of which reads one tensor of those before it.

        They are about as long as there are of them, which makes the cuts of each part, and those of the file between
        parts, the least to run in all.
        """
        count = len(self.layers)
        ends = [0]
        for end in range(1, count):
            if end - ends[-1] >= math.sqrt(count) and len(self._read_after(end)) == 1:
                ends.append(end)
        return list(zip(ends, [*ends[1:], count], strict=True))

    def write(self, path: Path, end: int, *, first: int = 0) -> None:
        """Write the file with its layers from `first`, where a part begins, to before `end` only."""
        given = [int(i) for i in self._model.subgraphs[0].inputs]
        left_out = {index for op in (*self.layers[:first], *self.layers[end:]) for index in op.index}
        model, graph = _shallow(self._model)
        graph.outputs = [tensor for tensor in self._read_after(end) if tensor not in given]
        graph.operators = _needed([o for i, o in enumerate(graph.operators) if i not in left_out], graph.outputs)
        graph.inputs = self._read_after(first) if first else given
        drop_unread(model)
        write_model(path, model)

    def _read_after(self, end: int) -> list[int]:
        """Return the inputs, and tensors that layers before `end` write, that later layers or the caller read."""
        graph = self._model.subgraphs[0]
        before, after = (
            [graph.operators[index] for op in layers for index in op.index]
            for layers in (self.layers[:end], self.layers[end:])
        )
        wanted = {int(i) for operator in after for i in operator.inputs} | set(map(int, graph.outputs))
        there = [*map(int, graph.inputs), *(int(o) for operator in before for o in operator.outputs)]
        return [tensor for tensor in there if tensor in wanted]


def _shallow(model: Any) -> tuple[Any, Any]:
    """Return a copy that shares the weights, and its graph; without signatures, which name the outputs."""
    twin, graph = copy.copy(model), copy.copy(model.subgraphs[0])
    graph.tensors = [copy.copy(tensor) for tensor in graph.tensors]
    graph.operators = [copy.copy(operator) for operator in graph.operators]
    twin.subgraphs, twin.signatureDefs = [graph], []
    twin.metadata, twin.metadataBuffer = [], None
    return twin, graph


def _needed(operators: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """Return the operators without those that unpack a weight which none of the others reads."""
    read = {int(i) for operator in operators for i in operator.inputs} | set(outputs)
    return [operator for operator in operators if any(int(o) in read for o in operator.outputs)]
