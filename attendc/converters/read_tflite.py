"""Back from a TFLite file: what operators it has, in which types, and every scale and integer in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.converters.tflite_schema import constant, op_name, read_model, type_name
from attendc.converters.to_tflite import METADATA_NAME
from attendc.types import Layer, QuantTable

__all__ = ["float_operators", "inspect_tflite", "tflite_quant_table"]

_BORDER = ("QUANTIZE", "DEQUANTIZE")
_WEIGHT_LAYOUTS = {
    "CONV_2D": (0, 3, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "FULLY_CONNECTED": (0, 1),
}
"""How the axes of a weight are put in order to be torch's (O, I, H, W) or (O, I)."""


def inspect_tflite(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count), `float_ops`, `transposes`, `inputs`, `outputs`, `metadata`."""
    model = read_model(path)
    graph = model.subgraphs[0]
    ops = Counter(op_name(model, o) for o in graph.operators)
    return {
        "format": "tflite",
        "bytes": path.stat().st_size,
        "ops": dict(sorted(ops.items())),
        "float_ops": len(float_operators(model)),
        "float_op_names": float_operators(model),
        "transposes": ops["TRANSPOSE"],
        "inner_quantize_ops": _inner_quantize_ops(model),
        "inputs": [_tensor_info(graph.tensors[i]) for i in graph.inputs],
        "outputs": [_tensor_info(graph.tensors[i]) for i in graph.outputs],
        "metadata": _metadata(model),
    }


def float_operators(model: Any) -> list[str]:
    """Return the operators that compute in float: any with a float tensor, but for the border of `--io float32`."""
    graph = model.subgraphs[0]
    found = []
    for operator in graph.operators:
        name = op_name(model, operator)
        tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
        if any(type_name(t).startswith("FLOAT") for t in tensors) and name not in _BORDER:
            found.append(f"{name} {bytes(graph.tensors[operator.outputs[0]].name).decode()}")
    return found


def tflite_quant_table(path: Path) -> QuantTable:
    """Return every (scale, zero point) of the computed tensors and the integers of every layer, by tensor name."""
    model = read_model(path)
    graph = model.subgraphs[0]
    activations = {
        f"{bytes(t.name).decode()}#{i}": (float(t.quantization.scale[0]), int(t.quantization.zeroPoint[0]))
        for i, t in enumerate(graph.tensors)
        if type_name(t) == "INT8" and not _is_layer_weight(model, i)
    }
    layers = {
        f"{op_name(model, o)}#{o.outputs[0]}": _layer(model, o)
        for o in graph.operators
        if op_name(model, o) in _WEIGHT_LAYOUTS and _is_int8_constant(model, o.inputs[1])
    }
    return QuantTable(activations, layers)


def _is_layer_weight(model: Any, index: int) -> bool:
    graph = model.subgraphs[0]
    return any(op_name(model, o) in _WEIGHT_LAYOUTS and o.inputs[1] == index for o in graph.operators)


def _is_int8_constant(model: Any, index: int) -> bool:
    tensor = model.subgraphs[0].tensors[index]
    return type_name(tensor) == "INT8" and constant(model, tensor, np.int8) is not None


def _layer(model: Any, operator: Any) -> Layer:
    graph = model.subgraphs[0]
    weight_tensor, bias_tensor = (graph.tensors[i] for i in operator.inputs[1:3])
    weight: NDArray[Any] | None = constant(model, weight_tensor, np.int8)
    bias = constant(model, bias_tensor, np.int32)
    assert weight is not None, "a layer with an int8 weight has it as a constant"
    weight = np.ascontiguousarray(weight.transpose(_WEIGHT_LAYOUTS[op_name(model, operator)]))
    assert not np.any(weight_tensor.quantization.zeroPoint), "weights are symmetric"
    return Layer(
        weight.tobytes(),
        weight.shape,
        tuple(float(s) for s in weight_tensor.quantization.scale),
        tuple(bias.tolist()) if bias is not None else (0,) * len(weight),
    )


def _inner_quantize_ops(model: Any) -> int:
    """Count QUANTIZE and DEQUANTIZE that neither read an input nor write an output of the model."""
    graph = model.subgraphs[0]
    border = {*map(int, graph.inputs), *map(int, graph.outputs)}
    return sum(
        op_name(model, o) in _BORDER and not border & {*map(int, o.inputs), *map(int, o.outputs)}
        for o in graph.operators
    )


def _tensor_info(tensor: Any) -> dict[str, Any]:
    info: dict[str, Any] = {
        "name": bytes(tensor.name).decode(),
        "shape": [int(d) for d in tensor.shape],
        "dtype": type_name(tensor).lower(),
    }
    if tensor.quantization is not None and tensor.quantization.scale is not None:
        info["scale"] = float(tensor.quantization.scale[0])
        info["zero_point"] = int(tensor.quantization.zeroPoint[0])
    return info


def _metadata(model: Any) -> dict[str, Any]:
    for entry in model.metadata or []:
        if bytes(entry.name).decode() == METADATA_NAME:
            content: dict[str, Any] = json.loads(bytes(bytearray(model.buffers[entry.buffer].data)))
            return content
    return {}
