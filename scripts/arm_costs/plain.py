"""Operators without weights, each as a function that adds it to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from arm_costs.build import Net

__all__ = ["PLAIN", "reshape", "silu"]

_BOTH = ("int8", "float32")
_PROBABILITY = (1 / 256, -128)
"""Scale and zero point of what lies in 0 .. 1, which the runtime asks for."""
_SIGNED = (1 / 128, 0)


def silu(net: Net) -> None:
    """Add x * sigmoid(x)."""
    x = net.last
    gate = net.op("LOGISTIC", [x], net.tensor(net.shape(x), "", *_PROBABILITY))
    net.op("MUL", [x, gate], net.tensor(net.shape(x)), schema.MulOptionsT())


def reshape(net: Net) -> None:
    """Add a RESHAPE that swaps height and width."""
    n, h, w, c = net.shape(net.last)
    options = schema.ReshapeOptionsT()
    options.newShape = [n, w, h, c]
    net.op("RESHAPE", [net.last, net.integers([n, w, h, c])], net.tensor([n, w, h, c]), options)


def _unary(name: str, options: str = "", quantized: tuple[float, int] = (0.05, 0)) -> Callable[[Net], None]:
    def add(net: Net) -> None:
        made = getattr(schema, f"{options}T")() if options else None
        net.op(name, [net.last], net.tensor(net.shape(net.last), "", *quantized), made)

    return add


def _binary(name: str, options: str, broadcast: str = "") -> Callable[[Net], None]:
    """Return what adds an operator of the last tensor and another, repeated for each pixel, channel or everything."""

    def add(net: Net) -> None:
        n, h, w, c = net.shape(net.last)
        small = {"": [n, h, w, c], "pixel": [n, h, w, 1], "channel": [n, 1, 1, c], "all": [1]}[broadcast]
        other = net.constant(np.ones(small, net.dtype), [0.05] if net.dtype == "int8" else ())
        net.op(name, [net.last, other], net.tensor([n, h, w, c]), getattr(schema, f"{options}T")())

    return add


def _mean(net: Net) -> None:
    n, _, _, c = net.shape(net.last)
    options = schema.ReducerOptionsT()
    options.keepDims = True
    net.op("MEAN", [net.last, net.integers([1, 2])], net.tensor([n, 1, 1, c]), options)


def _softmax(net: Net) -> None:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    net.op("SOFTMAX", [net.last], net.tensor(net.shape(net.last), "", *_PROBABILITY), options)


def _pad(net: Net, *, value: bool = False) -> None:
    """Add a frame of zeros, or of a value."""
    n, h, w, c = net.shape(net.last)
    inputs = [net.last, net.integers([[0, 0], [1, 1], [1, 1], [0, 0]])]
    if value:
        inputs.append(net.constant(np.full([1], -128, net.dtype), [0.05] if net.dtype == "int8" else ()))
    options = schema.PadV2OptionsT() if value else schema.PadOptionsT()
    net.op("PADV2" if value else "PAD", inputs, net.tensor([n, h + 2, w + 2, c]), options)


def _concatenate(net: Net) -> None:
    n, h, w, c = net.shape(net.last)
    options = schema.ConcatenationOptionsT()
    options.axis = 3
    net.op("CONCATENATION", [net.last, net.last], net.tensor([n, h, w, 2 * c]), options)


def _transpose(net: Net) -> None:
    n, h, w, c = net.shape(net.last)
    order = net.integers([0, 3, 1, 2])
    net.op("TRANSPOSE", [net.last, order], net.tensor([n, c, h, w]), schema.TransposeOptionsT())


def _slice(net: Net) -> None:
    """Take the first half of the channels."""
    n, h, w, c = net.shape(net.last)
    sizes = [n, h, w, -(-c // 2)]
    inputs = [net.last, net.integers([0, 0, 0, 0]), net.integers(sizes)]
    net.op("SLICE", inputs, net.tensor(sizes), schema.SliceOptionsT())


def _resize(kind: str) -> Callable[[Net], None]:
    def add(net: Net) -> None:
        n, h, w, c = net.shape(net.last)
        name = "".join(word.capitalize() for word in kind.split("_"))
        options: Any = getattr(schema, f"{name}OptionsT")()
        options.halfPixelCenters = True
        net.op(kind, [net.last, net.integers([2 * h, 2 * w])], net.tensor([n, 2 * h, 2 * w, c]), options)

    return add


def _quantize(net: Net) -> None:
    """To int8, of another scale where it is int8 already."""
    net.op("QUANTIZE", [net.last], net.tensor(net.shape(net.last), "int8", 0.07, 3), schema.QuantizeOptionsT())


def _dequantize(net: Net) -> None:
    net.op("DEQUANTIZE", [net.last], net.tensor(net.shape(net.last), "float32"), schema.DequantizeOptionsT())


def _pool(name: str, kernel: int, stride: int) -> Callable[[Net], object]:
    return partial(Net.pool, name=name, kernel=kernel, stride=stride)


PLAIN: Mapping[str, tuple[tuple[str, ...], Callable[[Net], object]]] = {
    "ADD": (_BOTH, _binary("ADD", "AddOptions")),
    "ADD pixel": (_BOTH, _binary("ADD", "AddOptions", "pixel")),
    "ADD channel": (_BOTH, _binary("ADD", "AddOptions", "channel")),
    "ADD all": (_BOTH, _binary("ADD", "AddOptions", "all")),
    "SUB": (_BOTH, _binary("SUB", "SubOptions")),
    "SUB channel": (_BOTH, _binary("SUB", "SubOptions", "channel")),
    "SUB pixel": (_BOTH, _binary("SUB", "SubOptions", "pixel")),
    "SUB all": (_BOTH, _binary("SUB", "SubOptions", "all")),
    "MUL": (_BOTH, _binary("MUL", "MulOptions")),
    "MUL pixel": (_BOTH, _binary("MUL", "MulOptions", "pixel")),
    "MUL channel": (_BOTH, _binary("MUL", "MulOptions", "channel")),
    "MUL all": (_BOTH, _binary("MUL", "MulOptions", "all")),
    "DIV": (("float32",), _binary("DIV", "DivOptions")),
    "MAXIMUM": (_BOTH, _binary("MAXIMUM", "MaximumMinimumOptions")),
    "MINIMUM": (_BOTH, _binary("MINIMUM", "MaximumMinimumOptions")),
    "SILU": (("int8",), silu),
    "LOGISTIC": (_BOTH, _unary("LOGISTIC", "", _PROBABILITY)),
    "TANH": (_BOTH, _unary("TANH", "", _SIGNED)),
    "EXP": (_BOTH, _unary("EXP", "ExpOptions")),
    "GELU": (_BOTH, _unary("GELU", "GeluOptions")),
    "ELU": (_BOTH, _unary("ELU")),
    "RELU": (_BOTH, _unary("RELU")),
    "RELU6": (_BOTH, _unary("RELU6")),
    "LEAKY_RELU": (_BOTH, _unary("LEAKY_RELU", "LeakyReluOptions")),
    "HARD_SWISH": (_BOTH, _unary("HARD_SWISH", "HardSwishOptions")),
    "ABS": (_BOTH, _unary("ABS", "AbsOptions")),
    "NEG": (("float32",), _unary("NEG", "NegOptions")),
    "SQRT": (("float32",), _unary("SQRT")),
    "RSQRT": (("float32",), _unary("RSQRT")),
    "SOFTMAX": (_BOTH, _softmax),
    "AVERAGE_POOL_2D 3/1": (_BOTH, _pool("AVERAGE_POOL_2D", 3, 1)),
    "AVERAGE_POOL_2D 3/2": (_BOTH, _pool("AVERAGE_POOL_2D", 3, 2)),
    "AVERAGE_POOL_2D 2/2": (_BOTH, _pool("AVERAGE_POOL_2D", 2, 2)),
    "MAX_POOL_2D 3/1": (_BOTH, _pool("MAX_POOL_2D", 3, 1)),
    "MAX_POOL_2D 3/2": (_BOTH, _pool("MAX_POOL_2D", 3, 2)),
    "MAX_POOL_2D 2/2": (_BOTH, _pool("MAX_POOL_2D", 2, 2)),
    "MEAN": (_BOTH, _mean),
    "PAD": (_BOTH, _pad),
    "PADV2": (_BOTH, partial(_pad, value=True)),
    "CONCATENATION": (_BOTH, _concatenate),
    "TRANSPOSE": (_BOTH, _transpose),
    "SLICE": (_BOTH, _slice),
    "RESIZE_BILINEAR": (_BOTH, _resize("RESIZE_BILINEAR")),
    "RESIZE_NEAREST_NEIGHBOR": (_BOTH, _resize("RESIZE_NEAREST_NEIGHBOR")),
    "QUANTIZE": (_BOTH, _quantize),
    "DEQUANTIZE": (("int8",), _dequantize),
}
"""Name -> the types that it exists in, and what adds it to a network."""
