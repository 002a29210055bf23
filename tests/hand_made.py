"""Quantized graphs made by hand: each operator between quantizers whose parameters the test chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torchao.quantization.pt2e  # noqa: F401 - registers quantized_decomposed
from nets import STAMP
from torch import Tensor, fx, nn

from attendc.exported import batch_dim
from attendc.types import Preprocess, Stamp

_Q = torch.ops.quantized_decomposed
INPUT = (1 / 64, -3)
"""Scale and zero point of every input: -2 .. 2 in round numbers."""


def rounded(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Return `x` quantized to int8 and back."""
    arguments = (scale, zero_point, -128, 127, torch.int8)
    y: Tensor = _Q.dequantize_per_tensor(_Q.quantize_per_tensor(x, *arguments), *arguments)
    return y


class Between(nn.Module):
    """A function of one quantized tensor, its output quantized."""

    def __init__(self, function: Callable[[Tensor], Tensor], out: tuple[float, int]) -> None:
        super().__init__()
        self.function, self.out = function, out

    def forward(self, x: Tensor) -> Tensor:
        return rounded(self.function(rounded(x, *INPUT)), *self.out)


class Layer(nn.Module):
    """A convolution with weights of int8, or a linear layer where the weight has two axes."""

    def __init__(self, weight: Tensor, bias: Tensor, scale: Tensor, arguments: tuple[object, ...] = ()) -> None:
        """`weight` and `bias` are integers, `scale` float32 (O,)."""
        super().__init__()
        self.arguments = arguments
        shape = (-1,) + (1,) * (weight.ndim - 1)
        self.register_buffer("weight", weight.float() * scale.view(shape))
        self.register_buffer("bias", (bias.double() * scale.double() * INPUT[0]).float())
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(len(scale), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        arguments = (self.scale, self.zero_point, 0, -127, 127, torch.int8)
        weight = _Q.dequantize_per_channel(_Q.quantize_per_channel(self.weight, *arguments), *arguments)
        call = torch.conv2d if self.weight.ndim == 4 else nn.functional.linear
        y: Tensor = call(x, weight, self.bias, *self.arguments)  # type: ignore[operator]
        return y


class AfterLayer(nn.Module):
    """A layer between quantizers, with a function right behind it."""

    def __init__(self, layer: Layer, out: tuple[float, int], function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.out, self.function = layer, out, function

    def forward(self, x: Tensor) -> Tensor:
        return rounded(self.function(self.layer(rounded(x, *INPUT))), *self.out)


def kept(x: Tensor) -> Tensor:
    """Return `x` quantized as the input is, between two operators."""
    return rounded(x, *INPUT)


@dataclass(frozen=True)
class Exported:
    """A quantized graph, and inputs (N, C, H, W) for it."""

    graph: fx.GraphModule
    x: Tensor

    @property
    def stamp(self) -> Stamp:
        """Return a stamp that tells of these inputs."""
        channels, height, width = self.x.shape[1:]
        return replace(STAMP, preprocess=Preprocess(height, width, channels, (0.5,), (0.5,)))


def exported(module: nn.Module, *shape: int, images: int = 5) -> Exported:
    """Export a module for inputs (N, *shape) and draw some over all of the input's range."""
    torch.manual_seed(0)
    x = torch.rand(images, *shape) * 4 - 2
    graph = torch.export.export(module.eval(), (x,), dynamic_shapes=({0: batch_dim()},)).module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    return Exported(graph, x)
