"""A TFLite file as plain objects: reading, writing, and the names of its operators and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.errors import CheckpointError

__all__ = ["constant", "op_name", "opcode_index", "read_model", "type_name", "write_model"]


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
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {v: k for k, v in vars(_schema().BuiltinOperator).items() if not k.startswith("_")}
    if names[builtin] == "CUSTOM":
        return str(code.customCode.decode())
    return str(names[builtin])


def opcode_index(model: Any, name: str) -> int:
    """Return the index of a builtin operator's code, added if the file has none yet."""
    schema = _schema()
    wanted = getattr(schema.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), 2
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def type_name(tensor: Any) -> str:
    """Return `INT8`, `FLOAT32` and the like."""
    names = {v: k for k, v in vars(_schema().TensorType).items() if not k.startswith("_")}
    return str(names[tensor.type])


def constant(model: Any, tensor: Any, dtype: type[np.generic]) -> NDArray[Any] | None:
    """Return the value of a constant tensor in its shape; None of one that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    return np.frombuffer(bytes(bytearray(data)), dtype).reshape(tensor.shape)
