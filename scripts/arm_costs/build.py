"""Small TFLite files of chosen operators, made of the objects of the schema: hundreds in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from attendc.converters.tflite_schema import opcode_index, set_constant, write_model

__all__ = ["Net"]

_SCALE = 0.05
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "RESHAPE": 1, "HARD_SWISH": 1, "ELU": 1}
"""Versions that the runtime asks of int8 operators; of others 2 does."""


class Net:
    """A network in the making: each method adds an operator and returns the index of the tensor that it puts out.

    All is of one dtype, `int8` or `float32`; weights and inputs are drawn by a seed.
    """

    def __init__(self, dtype: str, shape: Sequence[int]) -> None:
        """Begin with an input of that shape, (N, H, W, C) where it is an image."""
        self.dtype = dtype
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]
        self.model.subgraphs = [self.graph]
        self._rng = np.random.default_rng(0)
        self.last = self.tensor(shape)
        self.graph.inputs = [self.last]

    def tensor(self, shape: Sequence[int], dtype: str = "", scale: float = _SCALE, zero_point: int = 0) -> int:
        """Add a tensor that is computed."""
        made = schema.TensorT()
        made.name = f"t{len(self.graph.tensors)}".encode()
        made.shape = list(shape)
        made.type = getattr(schema.TensorType, (dtype or self.dtype).upper())
        made.buffer = 0
        if (dtype or self.dtype) == "int8":
            made.quantization = _quantization([scale], [zero_point])
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def shape(self, index: int) -> list[int]:
        """Return the shape of a tensor."""
        return [int(n) for n in self.graph.tensors[index].shape]

    def constant(self, value: NDArray[Any], scales: Sequence[float] = (), axis: int = 0) -> int:
        """Add a constant; int8 and the int32 of a bias have scales."""
        index = self.tensor(value.shape, "float32")
        set_constant(self.model, self.graph.tensors[index], value)
        if scales:
            self.graph.tensors[index].quantization = _quantization(scales, [0] * len(scales), axis)
        return index

    def op(self, name: str, inputs: Sequence[int], output: int, options: Any = None) -> int:
        """Add an operator; `options` is an object such as `Conv2DOptionsT`."""
        made = schema.OperatorT()
        made.opcodeIndex = opcode_index(self.model, name)
        code = self.model.operatorCodes[made.opcodeIndex]
        code.version = _VERSIONS.get(name, 2) if self.dtype == "int8" else 1
        made.inputs, made.outputs = list(inputs), [output]
        if options is not None:
            made.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.graph.operators.append(made)
        self.last = output
        return output

    def conv(
        self,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        groups: int = 1,
        stride: tuple[int, int] = (1, 1),
        same: bool = True,
        source: int | None = None,
        activation: int = 0,
    ) -> int:
        """Add a CONV_2D."""
        x = self.last if source is None else source
        channels = self.shape(x)[3]
        options = schema.Conv2DOptionsT()
        options.strideH, options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.fusedActivationFunction = activation
        weight, bias = self._weights((outputs, *kernel, channels // groups), 0)
        out = self.tensor(_sizes(self.shape(x), kernel, stride, same, outputs))
        return self.op("CONV_2D", [x, weight, bias], out, options)

    def depthwise(
        self, kernel: tuple[int, int] = (3, 3), stride: tuple[int, int] = (1, 1), *, activation: int = 0
    ) -> int:
        """Add a DEPTHWISE_CONV_2D of multiplier 1 that keeps the size, or divides it by the stride."""
        x = self.last
        channels = self.shape(x)[3]
        options = schema.DepthwiseConv2DOptionsT()
        options.strideH, options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.depthMultiplier = 1
        options.padding = schema.Padding.SAME
        options.fusedActivationFunction = activation
        weight, bias = self._weights((1, *kernel, channels), 3)
        out = self.tensor(_sizes(self.shape(x), kernel, stride, True, channels))
        return self.op("DEPTHWISE_CONV_2D", [x, weight, bias], out, options)

    def linear(self, outputs: int) -> int:
        """Add a FULLY_CONNECTED over the last axis."""
        x = self.last
        *left, channels = self.shape(x)
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = len(left) > 1
        weight, bias = self._weights((outputs, channels), 0)
        return self.op("FULLY_CONNECTED", [x, weight, bias], self.tensor([*left, outputs]), options)

    def product(self, batch: int) -> int:
        """Add a BATCH_MATMUL of (1, M, K), repeated, with itself transposed: (batch, M, M)."""
        _, rows, depth = self.shape(self.last)
        x = self.last
        if batch > 1:
            self.graph.tensors[x].shape = [batch, rows, depth]
        options = schema.BatchMatMulOptionsT()
        options.adjX, options.adjY = False, True
        return self.op("BATCH_MATMUL", [x, x], self.tensor([batch, rows, rows]), options)

    def pool(self, name: str, kernel: int, stride: int, *, same: bool = True) -> int:
        """Add an AVERAGE_POOL_2D or a MAX_POOL_2D."""
        options = schema.Pool2DOptionsT()
        options.filterHeight = options.filterWidth = kernel
        options.strideH = options.strideW = stride
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        shape = self.shape(self.last)
        out = self.tensor(_sizes(shape, (kernel, kernel), (stride, stride), same, shape[3]))
        return self.op(name, [self.last], out, options)

    def integers(self, values: Sequence[int] | Sequence[Sequence[int]]) -> int:
        """Add a constant of int32: axes, sizes, paddings."""
        return self.constant(np.asarray(values, np.int32))

    def write(self, path: Path) -> Path:
        """Write the file."""
        write_model(path, self.finished())
        return path

    def finished(self) -> Any:
        """Return the ModelT; what was added last is put out."""
        self.graph.outputs = [self.last]
        return self.model

    def _weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Add a weight and a bias; per channel on `axis`, a FULLY_CONNECTED's too."""
        outputs = shape[axis]
        if self.dtype == "float32":
            weight = self._rng.normal(size=shape).astype(np.float32)
            return self.constant(weight), self.constant(self._rng.normal(size=outputs).astype(np.float32))
        scale = 0.01
        weight = self._rng.integers(-127, 128, size=shape).astype(np.int8)
        bias = self._rng.integers(-1000, 1000, size=outputs).astype(np.int32)
        scales = [scale] * outputs
        return self.constant(weight, scales, axis), self.constant(bias, [scale * _SCALE] * outputs)


def _quantization(scales: Sequence[float], zero_points: Sequence[int], axis: int = 0) -> Any:
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = list(scales), list(zero_points)
    made.quantizedDimension = axis
    return made


def _sizes(
    shape: Sequence[int], kernel: tuple[int, int], stride: tuple[int, int], same: bool, channels: int
) -> list[int]:
    """Return the shape of what a kernel puts out."""
    sides = [
        -(-size // step) if same else (size - width) // step + 1
        for size, width, step in zip(shape[1:3], kernel, stride, strict=True)
    ]
    return [shape[0], *sides, channels]
