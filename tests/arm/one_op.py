"""TFLite files of one operator, or a chain of them, by the schema: whatever no converter would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from attendc.converters.tflite_schema import write_model

__all__ = ["Op", "T", "bias_of", "broken_in_the_middle", "conv", "one", "weight", "write_ops"]


@dataclass(frozen=True)
class T:
    """A tensor: shape, type by its numpy name, scales and zero points, and the value of a constant."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: tuple[float, ...] = (0.05,)
    zero: tuple[int, ...] = (0,)
    value: NDArray[Any] | None = None
    axis: int = 0


@dataclass(frozen=True)
class Op:
    """An operator of BuiltinOperator, what it reads and writes by name, and its options by the schema's names."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    version: int = 1


def weight(shape: tuple[int, ...], *, axis: int = 0, scales: int = 1, zero: int = 0, dtype: str = "int8") -> T:
    """Return a constant weight drawn by a fixed seed, with so many scales along `axis`."""
    random = np.random.default_rng(0)
    value = random.integers(-127, 128, shape).astype(np.int8)
    if dtype == "float32":
        return T(shape, dtype, value=value.astype(np.float32) / 100)
    return T(shape, dtype, (0.01,) * scales, (zero,) * scales, value, axis)


def bias_of(channels: int, *, scales: int = 1, dtype: str = "int32") -> T:
    """Return a constant bias of zeros with the scale of a layer of an input of 0.05 and a `weight`."""
    return T((channels,), dtype, (0.05 * 0.01,) * scales, (0,) * scales, np.zeros(channels, dtype))


def conv(*, stride: int = 1, padding: int = 0, dilation: int = 1, activation: int = 0) -> dict[str, Any]:
    """Return the options of a convolution; padding 0 is SAME, 1 VALID."""
    return {
        "padding": padding,
        "strideH": stride,
        "strideW": stride,
        "dilationHFactor": dilation,
        "dilationWFactor": dilation,
        "fusedActivationFunction": activation,
    }


def one(
    folder: Path, kind: str, x: T, y: T, options: Mapping[str, Any] | None = None, table: str = "", *more: T
) -> Path:
    """Write a file of one operator that reads `x` and `more`, and return its path."""
    others = {f"c{i}": t for i, t in enumerate(more)}
    given = ["x", *(name for name, t in others.items() if t.value is None)]
    op = Op(kind, ("x", *others), ("y",), options or {}, table)
    return write_ops(folder / f"{kind.lower()}.tflite", {"x": x, **others, "y": y}, [op], given, "y")


def write_ops(path: Path, tensors: Mapping[str, T], ops: Sequence[Op], inputs: Sequence[str], out: str) -> Path:
    """Write a file of these operators and return its path."""
    model = schema.ModelT()
    model.version, model.description = 3, b"by hand"
    model.operatorCodes, model.buffers = [], [schema.BufferT()]
    graph = schema.SubGraphT()
    index = {name: i for i, name in enumerate(tensors)}
    graph.tensors = [_tensor(model, name, t) for name, t in tensors.items()]
    graph.inputs, graph.outputs = [index[i] for i in inputs], [index[out]]
    graph.operators = [_operator(model, op, index) for op in ops]
    model.subgraphs = [graph]
    write_model(path, model)
    return path


def broken_in_the_middle(folder: Path) -> Path:
    """Write conv - sigmoid - softmax - two convs side by side - add: XNNPACK takes what is around the softmax."""
    shape = (1, 8, 8, 16)
    tensors = {
        "x": T(shape),
        "w": weight((16, 1, 1, 16)),
        "b": bias_of(16),
        "1": T(shape),
        "2": T(shape, scale=(1 / 256,), zero=(-128,)),
        "3": T(shape, scale=(1 / 256,), zero=(-128,)),
        "4": T(shape),
        "5": T(shape),
        "y": T(shape),
    }
    ops = [
        Op("CONV_2D", ("x", "w", "b"), ("1",), conv(), "Conv2DOptions"),
        Op("LOGISTIC", ("1",), ("2",)),
        Op("SOFTMAX", ("2",), ("3",), {"beta": 1.0}, "SoftmaxOptions"),
        Op("CONV_2D", ("3", "w", "b"), ("4",), conv(), "Conv2DOptions"),
        Op("CONV_2D", ("3", "w", "b"), ("5",), conv(), "Conv2DOptions"),
        Op("ADD", ("4", "5"), ("y",), {}, "AddOptions"),
    ]
    return write_ops(folder / "broken.tflite", tensors, ops, ["x"], "y")


def _tensor(model: Any, name: str, t: T) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), list(t.shape)
    tensor.type = getattr(schema.TensorType, t.dtype.upper())
    if t.scale and (t.dtype in {"int8", "uint8", "int16"} or (t.dtype == "int32" and t.value is not None)):
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = list(t.scale), list(t.zero)
        quantization.quantizedDimension = t.axis
        tensor.quantization = quantization
    tensor.buffer = 0
    if t.value is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(t.value).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    return tensor


def _operator(model: Any, op: Op, index: Mapping[str, int]) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, op.kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), op.version
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = [index[i] if i else -1 for i in op.inputs]
    operator.outputs = [index[o] for o in op.outputs]
    if op.table:
        options = getattr(schema, f"{op.table}T")()
        for name, value in op.options.items():
            assert hasattr(options, name), f"{op.table} has no {name}"
            setattr(options, name, value)
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, op.table)
    return operator
