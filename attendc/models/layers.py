"""The parts of AttendNeXt: convolution with batch norm, anti-aliased downsampling, double-condensing attention.

Source: arXiv 2208.06980 (the DC-AC and the family), 2311.11656 (the published member whose layout this follows),
2008.04245 (the attention condenser). A reconstruction from these descriptions, not from anybody's code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "DCAC", "GATES", "BasicBlock", "BottleneckBlock", "ConvBN", "PatchBN", "antialias"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
}
"""Activation by name. Batch norms stand before it, never after it."""

GATES: dict[str, Callable[[], nn.Module]] = {
    "softmax": lambda: nn.Softmax(dim=1),
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}
"""What turns the attention branch into weights. `softmax` (over channels, per pixel) is the faithful one; its
int8 output has the fixed scale 1/256 while its mean is 1/C, so wide stages keep about one code: `sigmoid` avoids it."""


class ConvBN(nn.Sequential):
    """Bias-free convolution with 'same' padding for stride 1, batch norm, and an activation unless it is empty.

    Source: 2311.11656: every convolution of the family is bias-free with batch norm of eps 1e-5, momentum 0.1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        columns: int = 1,
        activation: str = "",
        skip_pixels: bool = False,
    ) -> None:
        """Build it; a strided 1x1 convolution, which skips three of four pixels, is refused without `skip_pixels`."""
        if kernel == 1 and stride > 1 and not skip_pixels:
            raise ValueError("a strided pointwise convolution is not part of this family (2208.06980)")
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=columns, bias=False)
        parts: list[nn.Module] = [conv, nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.1)]
        if activation:
            parts.append(ACTIVATIONS[activation]())
        super().__init__(*parts)


class PatchBN(nn.Sequential):
    """Bias-free convolution over patches that neither overlap nor leave a gap, batch norm, activation.

    (N, in, H, W) -> (N, out, H/size, W/size). Source: 2010.11929 section 3.1 (patches), as the stem of a
    convolutional network 2201.03545 section 2.2.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, *, activation: str) -> None:
        """Build it for patches of `size` x `size` pixels."""
        conv = nn.Conv2d(in_channels, out_channels, size, size, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.1), ACTIVATIONS[activation]())


def antialias(stride: int) -> nn.Module:
    """Anti-aliased downsampling (AADS): an average pool of `stride`, nothing at stride 1.

    Source: 2208.06980 names anti-aliased downsampling among the best practices; 2x2/2 pools per 2311.11656.
    """
    return nn.AvgPool2d(stride, stride) if stride > 1 else nn.Identity()


class DCAC(nn.Module):
    """Double-condensing attention condenser, the first block of a stage: Y = act(gate(A(X)) * V(X)).

    Both branches are condensed, so the product is formed at the condensed resolution and there is no
    expansion, no residual and no learned scale. (N, in, H, W) -> (N, out, H/stride, W/stride), where out is
    `width`, or `expansion` * `width` with `bottleneck` (stages 3 and 4).

    Three ways to build it are no AttendNeXt, and are there to measure what the choices of the family are worth:
    strides instead of pools, a sum instead of the gated product, columns that mix inside the attention branch.

    Source: 2208.06980 section 2; the layers of each branch after 2311.11656.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        columns: int,
        bottleneck: bool,
        gate: str,
        activation: str,
        expansion: int = 2,
        strided: bool = False,
        gated: bool = True,
        mixed: bool = False,
    ) -> None:
        """Build both branches; only the attention branch has columns, the 1x1 of V mixes them.

        `strided` lets the first 3x3 of the attention branch and the 1x1 of V skip pixels where pools would stand;
        without `gated` the branches are added; `mixed` makes the 3x3 after the first of an early stage dense.
        """
        super().__init__()
        out_channels = width * expansion if bottleneck else width
        pool, step = (1, stride) if strided else (stride, 1)
        if bottleneck:
            self.attention = nn.Sequential(
                ConvBN(in_channels, width, 1, activation=activation),
                antialias(pool),
                ConvBN(width, width, 3, stride=step, columns=columns, activation=activation),
                ConvBN(width, out_channels, 1),
            )
        else:
            self.attention = nn.Sequential(
                antialias(pool),
                ConvBN(in_channels, width, 3, stride=step, columns=columns, activation=activation),
                ConvBN(width, width, 3, columns=1 if mixed else columns),
            )
        self.gate = GATES[gate]() if gated else None
        features = ConvBN(in_channels, out_channels, 1, stride=step, skip_pixels=strided)
        self.features = nn.Sequential(antialias(pool), features)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Return act(gate(A(x)) * V(x)), or act(A(x) + V(x)) without a gate."""
        if self.gate is None:
            joined = torch.add(self.attention(x), self.features(x))
        else:
            joined = self.gate(self.attention(x)) * self.features(x)
        y: Tensor = self.activation(joined)
        return y


class _Residual(nn.Module):
    """Y = act(F(X) + X), with F the convolution stack of the block. The shape stays (N, C, H, W)."""

    def __init__(self, stack: nn.Sequential, activation: str) -> None:
        super().__init__()
        self.stack = stack
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(torch.add(self.stack(x), x))
        return y


class BasicBlock(_Residual):
    """Residual block of stages 1 and 2: two 3x3 convolutions in columns. Source: 2311.11656."""

    def __init__(self, width: int, *, columns: int, activation: str) -> None:
        """Build it for `width` channels in and out."""
        stack = nn.Sequential(
            ConvBN(width, width, 3, columns=columns, activation=activation),
            ConvBN(width, width, 3, columns=columns),
        )
        super().__init__(stack, activation)


class BottleneckBlock(_Residual):
    """Residual block of stages 3 and 4: 1x1 down, 3x3 in columns, 1x1 up by `expansion`. Source: 2311.11656."""

    def __init__(self, width: int, *, columns: int, activation: str, expansion: int = 2) -> None:
        """Build it for `width * expansion` channels in and out."""
        outer = width * expansion
        stack = nn.Sequential(
            ConvBN(outer, width, 1, activation=activation),
            ConvBN(width, width, 3, columns=columns, activation=activation),
            ConvBN(width, outer, 1),
        )
        super().__init__(stack, activation)
