"""What of XNNPACK's int8 kernels decides how a TFLite file is written; pruning reckons with the same numbers.

Source: counts on the emulated cores, docs/arm.md, "The cost table" and "Networks built for the tile".
"""

from __future__ import annotations

__all__ = ["DEPTHWISE_TAPS", "columns_together"]

DEPTHWISE_TAPS = 25
"""Of the largest depthwise kernel: one of more goes through the matrix kernel, a channel at a time."""

_TILE = 8
"""Outputs of a group that the narrowest matrix kernel computes at once."""


def columns_together(groups: int, width: int) -> int:
    """Return how many columns of `width` outputs are written as one: as many as fit into the narrowest tile."""
    return max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * width <= _TILE))
