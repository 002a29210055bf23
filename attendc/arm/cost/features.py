"""What the cost of an operator is linear in: the steps of the kernels of XNNPACK and LiteRT, counted from shapes.

A method is a family of kernels with coefficients of its own; `features` are numbers to multiply them with. The shapes
of the kernels are seen in the counts, see docs/arm.md, and measured by `scripts/measure_arm_costs.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from attendc.arm.ops import Op

__all__ = ["DEPTHWISE_TAPS", "MATRIX", "Tile", "features", "method_of"]

MATRIX = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV")
DEPTHWISE_TAPS = (3, 4, 9, 25)
"""Taps that depthwise kernels are written for; fewer are filled up. More than 25 go through the matrix kernel of a
convolution with one channel a group, which costs some fifty times as much."""
_NARROW = 2
"""Columns of the second float32 kernel. A `gemm` takes it where it has fewer columns to fill up than the wide one, an
`igemm` only where there are fewer outputs than the wide one has columns."""


@dataclass(frozen=True)
class Tile:
    """What the inner kernel of a convolution or matrix product works on.

    Attributes:
        rows: pixels at a time.
        columns: outputs of one group at a time; a rest costs as much as a whole.
        depth: inputs in one round of the inner loop.
        step: inputs of a tap are filled up to a multiple of it.
    """

    rows: int
    columns: int
    depth: int
    step: int


def method_of(op: Op, tile: Tile) -> str:
    """Return the family of kernels.

    `gemm`; `igemm` where an output looks at more than its own pixel or group; with `1` of one pixel, with `n` of narrow
    outputs; `dw9` and the like; of what is no layer, how it broadcasts: its cost goes by elements.
    """
    if op.kind not in MATRIX:
        return op.broadcast
    taps = math.prod(op.kernel)
    if _is_depthwise(op) and taps <= DEPTHWISE_TAPS[-1]:
        return f"dw{next(t for t in DEPTHWISE_TAPS if taps <= t)}"
    return _product(op) + ("1" if op.pixels == 1 else "") + ("n" if _columns(op, tile) == _NARROW else "")


def _product(op: Op) -> str:
    return "gemm" if op.kernel == op.stride == (1, 1) and op.groups == 1 else "igemm"


def features(op: Op, tile: Tile) -> tuple[float, ...]:
    """Return the numbers that the coefficients of its method are multiplied with."""
    method = method_of(op, tile)
    if op.kind not in MATRIX:
        return _plain(op)
    return _depthwise(op) if method.startswith("dw") else _matrix(op, tile)


def _is_depthwise(op: Op) -> bool:
    return op.kind == "DEPTHWISE_CONV_2D" and op.inputs == op.outputs


def _columns(op: Op, tile: Tile) -> int:
    """Return the columns of the kernel taken: float32 has one of 2 too."""
    outputs = op.outputs // op.groups
    fits = tile.columns <= outputs
    if _product(op) == "gemm":
        fits = fits and _up(outputs, tile.columns) == _up(outputs, _NARROW)
    return tile.columns if fits or op.dtype == "int8" else _NARROW


def _matrix(op: Op, tile: Tile) -> tuple[float, ...]:
    """Return 1, groups, calls, tiles, their taps, rounds of the inner loop, ragged calls, rests of the loop.

    A rest of the inputs of a tap is worked off by powers of two, each a feature of its own.
    """
    outputs, taps = op.outputs // op.groups, math.prod(op.kernel)
    columns = _columns(op, tile)
    calls = -(-op.pixels // (1 if op.pixels == 1 else tile.rows)) * op.groups
    looks = calls * -(-outputs // columns) * taps
    rounds, left = divmod(_up(op.inputs // op.groups, tile.step), tile.depth)
    rest, bits = left // tile.step, (tile.depth // tile.step - 1).bit_length()
    rests = [looks * int(rest > 0), *(looks * (rest >> bit & 1) for bit in range(bits))]
    ragged = calls if outputs % columns else 0
    return (1.0, op.groups, calls, looks // taps, looks, looks * rounds, ragged, *map(float, rests))


def _depthwise(op: Op) -> tuple[float, ...]:
    """Return 1, rows, pixels, and per pixel: rounds of 16 channels, an eight, a four, a rest."""
    c = op.outputs
    per_pixel = (1, c // 16, c % 16 // 8, c % 8 // 4, int(c % 4 > 0))
    return (1.0, op.height, *(float(op.pixels * n) for n in per_pixel))


def _plain(op: Op) -> tuple[float, ...]:
    """Return 1, rows, pixels, looks at pixels, elements put out, elements looked at, rounds of 16 channels, rests."""
    taps, c = math.prod(op.kernel), op.outputs
    looks = op.pixels * taps
    return (
        1.0,
        op.height,
        op.pixels,
        looks,
        op.elements,
        looks * op.inputs,
        op.pixels * (c // 16),
        op.pixels * (c % 16),
    )


def _up(n: int, step: int) -> int:
    """Return the next multiple."""
    return -(-n // step) * step
