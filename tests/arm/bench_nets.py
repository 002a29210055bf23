"""Small int8 TFLite files with known multiply-accumulates, for counts and times."""

from __future__ import annotations

import dataclasses
from itertools import pairwise, starmap
from pathlib import Path

from arm.one_op import Op, T, bias_of, conv, weight, write_ops

__all__ = ["SIDE", "chain", "gated", "plain_conv", "silu_net"]

SIDE = 16
"""Height and width of every tensor."""
_GATES = {"LOGISTIC": (None, ""), "SOFTMAX": ({"beta": 1.0}, "SoftmaxOptions")}
_SCALE = {"scale": (1 / 256,), "zero": (-128,)}
_ODD = 0.043
"""Scale of products. Of 1 / 256 and 0.05 into 0.05 many would lie between two steps, which ARM and x86 round apart."""


def plain_conv(folder: Path, *, channels: int, dtype: str = "int8") -> Path:
    """Write a 1x1 convolution of 16x16 with as many inputs as outputs: 256 * channels**2 multiply-accumulates."""
    folder.mkdir(exist_ok=True)
    tensors = {"x": _image(channels, dtype), "conv": _image(channels, dtype), **_weights(channels, dtype)}
    return write_ops(folder / "conv.tflite", tensors, [_conv("x", "conv")], ["x"], "conv")


def chain(folder: Path, length: int, *, channels: int = 16) -> Path:
    """Write 1x1 convolutions in a row, that write conv1, conv2 and so on."""
    names = ["x", *(f"conv{number}" for number in range(1, length + 1))]
    tensors = {name: _image(channels) for name in names} | _weights(channels)
    return write_ops(folder / "chain.tflite", tensors, list(starmap(_conv, pairwise(names))), ["x"], names[-1])


def gated(folder: Path, gate: str, *, channels: int = 16) -> Path:
    """Write conv(x) * gate(conv(x)), then a convolution; the gate is LOGISTIC or SOFTMAX.

    The second operand of the product is another tensor than the gate's, so that no table of both is made.
    """
    options, table = _GATES[gate]
    tensors = {name: _image(channels) for name in ("x", "conv", "last")}
    tensors |= {"gate": T((1, SIDE, SIDE, channels), **_SCALE), **_weights(channels)}
    tensors["product"] = T((1, SIDE, SIDE, channels), scale=(_ODD,))
    ops = [
        _conv("x", "conv"),
        Op(gate, ("conv",), ("gate",), options or {}, table),
        Op("MUL", ("x", "gate"), ("product",), {}, "MulOptions"),
        _conv("product", "last", "odd"),
    ]
    return write_ops(folder / f"{gate.lower()}.tflite", tensors, ops, ["x"], "last")


def silu_net(folder: Path, *, channels: int = 16) -> Path:
    """Write conv, x * sigmoid(x), conv, and the sum with the first convolution's output."""
    tensors = {name: _image(channels) for name in ("x", "first", "second", "sum")}
    tensors |= {"sigmoid": T((1, SIDE, SIDE, channels), **_SCALE), **_weights(channels)}
    tensors["silu"] = T((1, SIDE, SIDE, channels), scale=(_ODD,))
    ops = [
        _conv("x", "first"),
        Op("LOGISTIC", ("first",), ("sigmoid",)),
        Op("MUL", ("first", "sigmoid"), ("silu",), {}, "MulOptions"),
        _conv("silu", "second", "odd"),
        Op("ADD", ("first", "second"), ("sum",), {}, "AddOptions"),
    ]
    return write_ops(folder / "silu.tflite", tensors, ops, ["x"], "sum")


def _image(channels: int, dtype: str = "int8") -> T:
    return T((1, SIDE, SIDE, channels), dtype)


def _weights(channels: int, dtype: str = "int8") -> dict[str, T]:
    own = weight((channels, 1, 1, channels), scales=channels, dtype=dtype)
    bias = bias_of(channels, scales=channels, dtype="int32" if dtype == "int8" else dtype)
    odd = dataclasses.replace(bias, scale=tuple(_ODD * scale for scale in own.scale))
    return {"w": own, "b": bias, "odd": odd}


def _conv(x: str, y: str, bias: str = "b") -> Op:
    return Op("CONV_2D", (x, "w", bias), (y,), conv(), "Conv2DOptions")
