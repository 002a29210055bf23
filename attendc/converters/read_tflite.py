"""Back from a TFLite file: what operators it has, in which types, and every scale and integer in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.converters.damage import names_damage
from attendc.converters.tflite_pools import is_mean_of_image
from attendc.converters.tflite_rows import channels_of_pixels
from attendc.converters.tflite_schema import (
    METADATA_NAME,
    constant,
    op_name,
    quantized_layers,
    read_model,
    type_name,
)
from attendc.same_layer import mean_layer
from attendc.types import Layer, QuantTable

__all__ = ["float_operators", "inspect_tflite", "tflite_quant_table"]

_BORDER = ("QUANTIZE", "DEQUANTIZE")
_WEIGHT_LAYOUTS = {
    "CONV_2D": (0, 3, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "FULLY_CONNECTED": (0, 1),
}
"""How the axes of a weight are put in order to be torch's (O, I, H, W) or (O, I)."""
_BIAS_TYPES: dict[str, type[np.generic]] = {"INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32}


@names_damage
def inspect_tflite(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count), `float_ops`, `transposes`, `inputs`, `outputs`, `metadata`.

    `float_ops` are a fault in int8 and int16 files only: the others compute in float between their operators.
    """
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


@names_damage
def tflite_quant_table(path: Path) -> QuantTable:
    """Return every (scale, zero point) of the computed tensors and the integers of every layer, by tensor name.

    Of a dynamic-range file there are layers only, their biases real numbers. A mean of an image is the
    layer that it was made of.
    """
    model = read_model(path)
    found = quantized_layers(model)
    weights = {index for _, index in found}
    activations = {
        f"{bytes(t.name).decode()}#{i}": (float(t.quantization.scale[0]), int(t.quantization.zeroPoint[0]))
        for i, t in enumerate(model.subgraphs[0].tensors)
        if type_name(t) in ("INT8", "INT16") and i not in weights
    }
    layers = {f"{op_name(model, o)}#{o.outputs[0]}": _layer(model, o, i) for o, i in found}
    return QuantTable(activations, layers | _means(model))


def _means(model: Any) -> dict[str, Layer]:
    graph = model.subgraphs[0]
    found = [o for o in graph.operators if is_mean_of_image(model, o)]
    shapes = {f"MEAN#{o.outputs[0]}": [int(s) for s in graph.tensors[o.inputs[0]].shape] for o in found}
    return {name: mean_layer(channels, height, width) for name, (_, height, width, channels) in shapes.items()}


def _layer(model: Any, operator: Any, index: int) -> Layer:
    weight_tensor = model.subgraphs[0].tensors[index]
    weight: NDArray[Any] | None = constant(model, weight_tensor, np.int8)
    assert weight is not None, "a layer with an int8 weight has it as a constant"
    if op_name(model, operator) == "CONV_2D":
        weight = weight.reshape(*weight.shape[:2], -1, channels_of_pixels(model, operator))
    weight = np.ascontiguousarray(weight.transpose(_WEIGHT_LAYOUTS[op_name(model, operator)]))
    assert not np.any(weight_tensor.quantization.zeroPoint), "weights are symmetric"
    return Layer(
        weight.tobytes(),
        weight.shape,
        tuple(float(s) for s in weight_tensor.quantization.scale),
        _bias(model, operator) or (0,) * len(weight),
    )


def _bias(model: Any, operator: Any) -> tuple[float, ...]:
    """Return the bias of a layer, as many numbers as outputs; nothing where the layer has none."""
    inputs = [int(i) for i in operator.inputs]
    if len(inputs) < 3 or inputs[2] < 0:
        return ()
    tensor = model.subgraphs[0].tensors[inputs[2]]
    value = constant(model, tensor, _BIAS_TYPES[type_name(tensor)])
    return () if value is None else tuple(value.tolist())


def _inner_quantize_ops(model: Any) -> int:
    """Count QUANTIZE and DEQUANTIZE between operators: none of the model's input and output, none of a weight."""
    graph = model.subgraphs[0]
    border = {*map(int, graph.inputs), *map(int, graph.outputs)}
    inner = [
        o
        for o in graph.operators
        if op_name(model, o) in _BORDER and not border & {*map(int, o.inputs), *map(int, o.outputs)}
    ]
    weights = {index for _, index in quantized_layers(model)}
    return len([o for o in inner if o.inputs[0] not in weights and type_name(graph.tensors[o.inputs[0]]) != "FLOAT16"])


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
