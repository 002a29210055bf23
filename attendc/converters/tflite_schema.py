"""A TFLite file as plain objects: reading, writing, and the names of its operators and types."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.errors import CheckpointError

__all__ = [
    "LAYERS",
    "METADATA_NAME",
    "add_constant",
    "change_activations",
    "constant",
    "drop_unread",
    "has_bias",
    "new_tensor",
    "op_name",
    "opcode_index",
    "quantized_layers",
    "read_model",
    "set_constant",
    "type_name",
    "write_model",
]

METADATA_NAME = "attendc"
"""Under which a file keeps its stamp."""

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators with a weight as input 1 and a bias as input 2."""


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read_model(path: Path) -> Any:
    """Return the file as a ModelT.

    Raises:
        CheckpointError: if it is no TFLite file.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise CheckpointError(f"{path} is no TFLite file (bytes 4..8 are {content[4:8]!r}, not TFL3)")
    try:
        return read_model_from_bytearray(bytearray(content))
    except Exception as e:
        raise CheckpointError(f"{path} is damaged: {e}", hint="Convert it again") from e


def write_model(path: Path, model: Any) -> None:
    """Write a ModelT."""
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

    path.write_bytes(bytes(convert_object_to_bytearray(model)))


def op_name(model: Any, operator: Any) -> str:
    """Return `CONV_2D` and the like; of a custom operator its own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return str(code.customCode.decode()) if name == "CUSTOM" else name


@functools.cache
def _names(enum: str) -> dict[int, str]:
    """Return value -> name of one of the schema's enumerations."""
    return {v: k for k, v in vars(getattr(_schema(), enum)).items() if not k.startswith("_")}


def opcode_index(model: Any, name: str) -> int:
    """Return the index of a builtin operator's code, added if the file has none yet."""
    schema = _schema()
    wanted = getattr(schema.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def type_name(tensor: Any) -> str:
    """Return `INT8`, `FLOAT32` and the like."""
    return _names("TensorType")[tensor.type]


def constant(model: Any, tensor: Any, dtype: type[np.generic]) -> NDArray[Any] | None:
    """Return the value of a constant tensor in its shape; None of one that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    return np.frombuffer(bytes(bytearray(data)), dtype).reshape(tensor.shape)


def quantized_layers(model: Any) -> list[tuple[Any, int]]:
    """Return the operators with a constant int8 weight in order, each with the index of the weight's tensor.

    The weight may stand behind a DEQUANTIZE.
    """
    graph = model.subgraphs[0]
    unpacked = {int(o.outputs[0]): int(o.inputs[0]) for o in graph.operators if op_name(model, o) == "DEQUANTIZE"}
    layers = [o for o in graph.operators if op_name(model, o) in LAYERS]
    weights = [(o, unpacked.get(int(o.inputs[1]), int(o.inputs[1]))) for o in layers]
    return [(o, i) for o, i in weights if _is_int8_constant(model, graph.tensors[i])]


def change_activations(model: Any, bias: Callable[[Any, Any], int], change: Callable[[Any, Any], None]) -> int:
    """Give every int8 activation another type by `change`(model, tensor), and return how many layers have int8 weights.

    `bias`(model, layer) adds the bias that a layer shall read then and returns its tensor's index; it is called before
    anything is changed.
    """
    layers = quantized_layers(model)
    weights = {index for _, index in layers}
    biases = [(o, bias(model, o)) for o, _ in layers if has_bias(o)]
    for index, tensor in enumerate(model.subgraphs[0].tensors):
        if type_name(tensor) == "INT8" and index not in weights:
            change(model, tensor)
    for operator, index in biases:
        operator.inputs[2] = index
    return len(layers)


def has_bias(operator: Any) -> bool:
    """Return whether a layer reads a bias; of one that is zero throughout, litert-torch leaves -1 in its place."""
    return len(operator.inputs) > 2 and int(operator.inputs[2]) >= 0


def _is_int8_constant(model: Any, tensor: Any) -> bool:
    return type_name(tensor) == "INT8" and constant(model, tensor, np.int8) is not None


def set_constant(model: Any, tensor: Any, value: NDArray[Any]) -> None:
    """Give a tensor a value of its own; its type is the value's."""
    buffer = _schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.type = getattr(_schema().TensorType, value.dtype.name.upper())


def new_tensor() -> Any:
    """Return a tensor of nothing, without quantization."""
    return _schema().TensorT()


def add_constant(model: Any, value: NDArray[Any], like: Any) -> int:
    """Add a constant tensor with the quantization of `like` and return its index."""
    tensor = copy.deepcopy(like)
    set_constant(model, tensor, value)
    tensor.shape = list(value.shape)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def drop_unread(model: Any) -> None:
    """Drop the tensors that no operator names and the buffers that no tensor has; buffer 0 is empty by definition."""
    graph = model.subgraphs[0]
    named = [graph.inputs, graph.outputs, *(o.inputs for o in graph.operators), *(o.outputs for o in graph.operators)]
    kept = sorted({int(i) for indices in named for i in indices if i >= 0})
    moved = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[i] for i in kept]
    graph.inputs, graph.outputs = ([moved[int(i)] for i in side] for side in (graph.inputs, graph.outputs))
    for operator in graph.operators:
        operator.inputs = [moved[int(i)] for i in operator.inputs]
        operator.outputs = [moved[int(i)] for i in operator.outputs]
    for signature in model.signatureDefs or []:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = moved[int(entry.tensorIndex)]
    _drop_buffers(model)


def _drop_buffers(model: Any) -> None:
    holders = [*model.subgraphs[0].tensors, *(model.metadata or [])]
    kept = sorted({0, *(int(h.buffer) for h in holders)})
    moved = {old: new for new, old in enumerate(kept)}
    model.buffers = [model.buffers[i] for i in kept]
    for holder in holders:
        holder.buffer = moved[int(holder.buffer)]
