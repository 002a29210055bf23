"""What of XNNPACK's int8 kernels decides how a TFLite file is written; pruning reckons with the same numbers.

Source: counts on the emulated cores, docs/arm.md, "The cost table" and "Networks built for the tile".
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEPTHWISE_TAPS", "WideRows", "columns_together"]

DEPTHWISE_TAPS = 25
"""Of the largest depthwise kernel: one of more goes through the matrix kernel, a channel at a time."""

_TILE = 8
"""Outputs of a group that the narrowest matrix kernel computes at once."""


def columns_together(groups: int, width: int) -> int:
    """Return how many columns of `width` outputs are written as one: as many as fit into the narrowest tile."""
    return max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * width <= _TILE))


_STEP = 8
"""What the kernels pad the channels of a tap to a multiple of."""


@dataclass(frozen=True)
class WideRows:
    """A convolution along its columns, and what it becomes where `stride` pixels are read as one of so many channels.

    Attributes:
        width: of the image, in pixels.
        channels: of a pixel.
        taps: columns of the kernel.
        stride: along the columns.
        pads: zeros left and right.
    """

    width: int
    channels: int
    taps: int
    stride: int
    pads: tuple[int, int]

    @property
    def outputs(self) -> int:
        """Return the columns of the output."""
        return (self.width + sum(self.pads) - self.taps) // self.stride + 1

    @property
    def left(self) -> int:
        """Return how many blocks of padding stand at the left."""
        return -(-self.pads[0] // self.stride)

    @property
    def shift(self) -> int:
        """Return how many columns of zeros the kernel begins with."""
        return self.left * self.stride - self.pads[0]

    @property
    def blocks(self) -> int:
        """Return how many blocks the kernel is wide."""
        return -(-(self.shift + self.taps) // self.stride)

    @property
    def right(self) -> int:
        """Return how many blocks of padding stand at the right."""
        return self.outputs - 1 + self.blocks - self.left - self.width // self.stride

    @property
    def pays(self) -> bool:
        """Return whether fewer products are computed, with the channels of each tap padded as the kernels do."""
        now, then = _padded(self.channels) * self.taps, _padded(self.channels * self.stride) * self.blocks
        return self.stride > 1 and self.width % self.stride == 0 and self.right >= 0 and then < now


def _padded(channels: int) -> int:
    return -(-channels // _STEP) * _STEP
