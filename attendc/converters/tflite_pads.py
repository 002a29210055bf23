"""Padding with the number that stands for 0, written as PAD, which fills with it by itself.

litert-torch writes padding with another number than 0 as PADV2, for which XNNPACK's delegate has no case. In front of a
max pool behind a ReLU that number is -128, the least of int8, and so the zero point: in int8 both are the same.

Source: instructions of an inference counted with LiteRT 2.3, Cortex-A76, ResNet-18's 112x112x64 with one pixel
around, in millions: 7.4 and 1.34. The network runs in one part instead of two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from attendc.converters.tflite_schema import constant, drop_unread, op_name, opcode_index, type_name

__all__ = ["pad_with_zero_points"]


def pad_with_zero_points(model: Any) -> int:
    """Change the int8 PADV2 that fill with their zero point, in place, and return how many."""
    found = [o for o in model.subgraphs[0].operators if op_name(model, o) == "PADV2" and _fills_with_zero(model, o)]
    for operator in found:
        _rewrite(model, operator)
    if found:
        drop_unread(model)
    return len(found)


def _fills_with_zero(model: Any, operator: Any) -> bool:
    tensors = model.subgraphs[0].tensors
    read, _, filling = (tensors[i] for i in operator.inputs)
    written = tensors[operator.outputs[0]]
    if any(type_name(t) != "INT8" for t in (read, filling, written)) or _params(read) != _params(written):
        return False
    value = constant(model, filling, np.int8)
    return value is not None and value.reshape(-1).tolist() == _params(read)[1]


def _params(tensor: Any) -> tuple[list[float], list[int]]:
    return np.asarray(tensor.quantization.scale).tolist(), np.asarray(tensor.quantization.zeroPoint).tolist()


def _rewrite(model: Any, operator: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    operator.opcodeIndex = opcode_index(model, "PAD")
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
    operator.inputs = operator.inputs[:2]
