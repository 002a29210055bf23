"""The type of an int8 TFLite file's input and output: int8 as converted, or float32 or uint8 at the border."""

from __future__ import annotations

import copy
from typing import Any, Literal

from attendc.converters.tflite_schema import opcode_index

__all__ = ["IO_TYPES", "Io", "set_io"]

Io = Literal["int8", "uint8", "float32"]
IO_TYPES: tuple[Io, ...] = ("int8", "uint8", "float32")

_UINT8_SHIFT = 128


def set_io(model: Any, io: Io) -> None:
    """Give the only subgraph an input and output of type `io`, by one QUANTIZE before and one operator after.

    uint8 has the same scale and a zero point 128 higher; from it and to it LiteRT's QUANTIZE only shifts.
    """
    if io == "int8":
        return
    graph = model.subgraphs[0]
    for position, inner in enumerate(list(graph.inputs)):
        outer = _border_tensor(model, int(inner), io)
        graph.inputs[position] = outer
        graph.operators.insert(0, _border_operator(model, "QUANTIZE", outer, int(inner)))
        _rename_in_signatures(model, "inputs", int(inner), outer)
    for position, inner in enumerate(list(graph.outputs)):
        outer = _border_tensor(model, int(inner), io)
        graph.outputs[position] = outer
        name = "DEQUANTIZE" if io == "float32" else "QUANTIZE"
        graph.operators.append(_border_operator(model, name, int(inner), outer))
        _rename_in_signatures(model, "outputs", int(inner), outer)


def _border_tensor(model: Any, inner: int, io: Io) -> int:
    """Add a tensor like `inner` of type `io` and return its index."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    tensor = copy.deepcopy(graph.tensors[inner])
    tensor.name = bytes(tensor.name) + b"_" + io.encode()
    tensor.buffer = 0
    if io == "float32":
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    else:
        tensor.type = schema.TensorType.UINT8
        tensor.quantization.zeroPoint = [int(tensor.quantization.zeroPoint[0]) + _UINT8_SHIFT]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _border_operator(model: Any, name: str, source: int, target: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    operator = schema.OperatorT()
    operator.opcodeIndex = opcode_index(model, name)
    operator.inputs, operator.outputs = [source], [target]
    return operator


def _rename_in_signatures(model: Any, side: str, old: int, new: int) -> None:
    for signature in model.signatureDefs or []:
        for entry in getattr(signature, side):
            if entry.tensorIndex == old:
                entry.tensorIndex = new
