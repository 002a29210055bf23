"""The type of the input and output of an int8 or int16 TFLite file: its own, or float32 or uint8 at the border."""

from __future__ import annotations

import copy
from typing import Any, Literal

from attendc.converters.tflite_schema import opcode_index, type_name

__all__ = ["IO_TYPES", "Io", "set_io"]

Io = Literal["int8", "uint8", "float32"]
IO_TYPES: tuple[Io, ...] = ("int8", "uint8", "float32")

_UINT8_SHIFT = 128


def set_io(model: Any, io: Io) -> list[str]:
    """Give the only subgraph an input and output of type `io`, by one QUANTIZE before and one operator after.

    `int8` leaves the integers that the file computes with: int16 in an int16 file. uint8 has the same scale as int8
    and a zero point 128 higher; from it and to it LiteRT's QUANTIZE only shifts. It writes no uint8 from int16,
    so that `uint8` leaves int16 too. Return a note where the border is not as asked.
    """
    graph = model.subgraphs[0]
    if io == "int8":
        return []
    if io == "uint8" and type_name(graph.tensors[graph.inputs[0]]) == "INT16":
        return ["int16: LiteRT writes no uint8 from int16, so that input and output are int16"]
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
    return []


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
