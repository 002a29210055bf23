"""The network of a TFLite file, from its flatbuffer alone: nothing is run, and torch is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attendc.converters.damage import names_damage
from attendc.converters.tflite_schema import op_name, read_model, type_name
from attendc.network.build import network_of
from attendc.network.shapes import FREE, bytes_of
from attendc.network.types import Listing, Network, Operation, Product, Quantization, Shape, Tensor

__all__ = ["tflite_network"]

_PRODUCTS = {
    "CONV_2D": Product("conv"),
    "DEPTHWISE_CONV_2D": Product("conv"),
    "CONV_3D": Product("conv"),
    "TRANSPOSE_CONV": Product("transposed", data=2, weight=1),  # inputs: sizes of the output, weight, activation
    "FULLY_CONNECTED": Product("matmul", data=1, weight=1),  # the weight (O, I) says what is summed over
    "BATCH_MATMUL": Product("matmul"),
}
_ACTIVATIONS = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}
"""ActivationFunctionType of the schema, as far as it computes anything."""


@names_damage
def tflite_network(path: Path) -> Network:
    """Return the network of the first subgraph, in its own layout (N, H, W, C).

    Raises:
        CheckpointError: if it is no TFLite file, or a damaged one.
    """
    model = read_model(path)
    graph = model.subgraphs[0]
    keys = _keys(graph.tensors)
    tensors = {key: _tensor(model, key, t) for key, t in zip(keys, graph.tensors, strict=True)}
    operations = tuple(_unpacked(_operation(model, n, o, keys), tensors) for n, o in enumerate(graph.operators))
    outputs = {keys[i]: keys[i] for i in graph.outputs}
    return network_of(Listing(operations, tensors, tuple(keys[i] for i in graph.inputs), outputs))


def _keys(tensors: list[Any]) -> list[str]:
    """Return a name for each tensor; those that share one get their number behind it."""
    names = [bytes(t.name or b"").decode(errors="replace") for t in tensors]
    return [n if names.count(n) == 1 else f"{n}#{i}" for i, n in enumerate(names)]


def _tensor(model: Any, key: str, tensor: Any) -> Tensor:
    shape, dtype = _shape(tensor), type_name(tensor).lower()
    buffer = model.buffers[tensor.buffer]
    is_constant = buffer.data is not None and len(buffer.data) > 0
    size = bytes_of(shape, dtype) or len(buffer.data) if is_constant else None
    return Tensor(key, shape, dtype, _quantization(tensor.quantization), size)


def _shape(tensor: Any) -> Shape:
    sizes = tensor.shape if tensor.shape is not None else []
    free = tensor.shapeSignature if tensor.shapeSignature is not None else sizes
    return tuple(FREE if f == -1 else int(d) for d, f in zip(sizes, free, strict=True))


def _quantization(found: Any) -> Quantization | None:
    if found is None or found.scale is None or len(found.scale) == 0:
        return None
    zeros = found.zeroPoint if found.zeroPoint is not None and len(found.zeroPoint) else [0] * len(found.scale)
    return Quantization(tuple(float(s) for s in found.scale), tuple(int(z) for z in zeros))


def _operation(model: Any, number: int, operator: Any, keys: list[str]) -> Operation:
    op = op_name(model, operator)
    inputs = tuple(keys[i] if i >= 0 else "" for i in operator.inputs)
    outputs = tuple(keys[i] for i in operator.outputs)
    product = _PRODUCTS.get(op)
    options = operator.builtinOptions
    if op == "BATCH_MATMUL" and getattr(options, "adjX", False):
        product = Product("matmul", axis=-2)
    return Operation(
        outputs[0] if outputs else f"{op} {number}",
        op,
        inputs,
        outputs,
        role="shape" if op == "SHAPE" else "compute",
        product=product,
        detail=_detail(options),
    )


def _unpacked(operation: Operation, tensors: Mapping[str, Tensor]) -> Operation:
    """Return a DEQUANTIZE of a constant as what says that a layer computes with the float value of it."""
    read = tensors.get(operation.inputs[0]) if operation.op == "DEQUANTIZE" else None
    if read is None or read.bytes is None:
        return operation
    return replace(operation, role="dequantize", quantization=read.quantization)


def _detail(options: Any) -> str:
    strides = {getattr(options, "strideH", 1), getattr(options, "strideW", 1)} - {0}
    found = [f"stride {max(strides)}"] if max(strides, default=1) > 1 else []
    activation = _ACTIVATIONS.get(getattr(options, "fusedActivationFunction", 0))
    return ", ".join([*found, *([activation] if activation else [])])
