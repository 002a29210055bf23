"""The version of an operator that says which types it computes in, so that an old runtime refuses what it cannot run.

Source: tflite/tools/versioning/op_version.cc of LiteRT. An operator that is not here keeps the version it has.
"""

from __future__ import annotations

from typing import Any

from attendc.converters.tflite_schema import op_name, type_name

__all__ = ["raise_versions"]

_INT16 = {
    "ABS": 3,
    "ADD": 3,
    "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 3,
    "BATCH_TO_SPACE_ND": 4,
    "BROADCAST_TO": 3,
    "CONCATENATION": 3,
    "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5,
    "DEQUANTIZE": 3,
    "EXP": 2,
    "FULLY_CONNECTED": 7,
    "GATHER": 4,
    "LEAKY_RELU": 2,
    "LOGISTIC": 3,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MIRROR_PAD": 3,
    "MUL": 4,
    "PACK": 3,
    "PAD": 3,
    "PADV2": 3,
    "QUANTIZE": 2,
    "REDUCE_MAX": 3,
    "RELU": 3,
    "RELU6": 3,
    "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "RSQRT": 3,
    "SLICE": 4,
    "SOFTMAX": 3,
    "SPACE_TO_BATCH_ND": 4,
    "SPLIT": 4,
    "SUB": 5,
    "TANH": 3,
    "TRANSPOSE": 5,
    "UNPACK": 4,
}
"""With an int16 tensor."""
_INT8 = {"CONV_2D": 3, "MEAN": 2, "PAD": 2}
"""With int8 input, as far as attendc writes operators that the converter has not written before."""
_HYBRID = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12}
"""Float input and output, an int8 weight with a scale per channel."""
_DEQUANTIZE = {"FLOAT16": 3, "INT8": 2}
_DEQUANTIZE_PER_CHANNEL = 5


def raise_versions(model: Any) -> None:
    """Raise the version of each operator code to what its operators need; none is lowered."""
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, _needed(model, operator))


def _needed(model: Any, operator: Any) -> int:
    name, tensors = op_name(model, operator), model.subgraphs[0].tensors
    types = [type_name(tensors[i]) for i in (*operator.inputs, *operator.outputs) if i >= 0]
    if "INT16" in types:
        return _INT16.get(name, 1)
    if name == "DEQUANTIZE":
        params = tensors[operator.inputs[0]].quantization
        many = params is not None and params.scale is not None and len(params.scale) > 1
        return _DEQUANTIZE_PER_CHANNEL if many else _DEQUANTIZE.get(types[0], 1)
    if name in _HYBRID and types[:2] == ["FLOAT32", "INT8"]:
        return _HYBRID[name]
    return _INT8.get(name, 1) if types[0] == "INT8" else 1
