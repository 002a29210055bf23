"""ARM instructions of an operator and of a network, from a table that was measured on the emulated cores.

cost = sum of coefficient times feature (see `features`); the coefficients stand in table.json, made by
`scripts/measure_arm_costs.py`, which tells there how well they fit. Shapes beyond the measured ones are extrapolated
by their features.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

from attendc.arm.cores import core_of
from attendc.arm.cost.features import Tile, features, method_of
from attendc.arm.ops import LAYERS, Op

__all__ = ["instructions", "is_delegated", "is_measured", "overhead", "predict", "row_of", "tile_of"]

_MATRIX = "MATRIX"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Layers that share the kernels of the matrix product, and so a row of the table."""


@functools.cache
def _table() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files("attendc.arm.cost").joinpath("table.json").read_text(encoding="utf-8"))
    return read


def tile_of(core: str, dtype: str = "int8") -> Tile:
    """Return the tile of the convolutions of a core: 16 outputs of a group at a time with dot product, 8 on an A72.

    Raises:
        UsageError: if no core is called so.
    """
    tiles = _table()["tiles"][core_of(core).name]
    return Tile(*tiles["int8" if dtype == "int8" else "float32"])


@functools.cache
def instructions(op: Op, core: str) -> float:
    """Return the instructions of one operator in one inference.

    A layer that was not measured costs what the nearest convolution does; anything else what the operators that LiteRT
    computes itself cost an element. `is_measured` tells.

    Raises:
        UsageError: if no core is called so.
    """
    known = _nearest(op) if op.kind in LAYERS and not is_measured(op) else op
    tile = tile_of(core, known.dtype)
    row = _table()["kinds"].get(row_of(known, tile))
    if row is None:
        return float(_table()["fallback"][core] * op.elements)
    return float(sum(a * b for a, b in zip(row["cores"][core], features(known, tile), strict=True)))


def _nearest(op: Op) -> Op:
    """Return a convolution of as many multiply-accumulates; types other than int8 go as float32."""
    kernel = op.kernel
    if op.kind == "TRANSPOSE_CONV":  # each output is met by one in `stride` of the kernel's rows and columns
        kernel = (-(-op.kernel[0] // op.stride[0]), -(-op.kernel[1] // op.stride[1]))
    stride = (1, 1) if op.kind == "TRANSPOSE_CONV" else op.stride
    kind = op.kind if op.kind in _LAYERS else "CONV_2D"
    return replace(op, kind=kind, kernel=kernel, stride=stride, dtype="int8" if op.dtype == "int8" else "float32")


def predict(ops: Sequence[Op], core: str) -> float:
    """Return the instructions of one inference: of all operators, of calling the runtime, and of its delegate.

    Raises:
        UsageError: if no core is called so.
    """
    taken = [is_delegated(op) for op in ops]
    parts = sum(now and not before for before, now in zip([False, *taken], taken, strict=False))
    return overhead(parts, core) + sum(instructions(op, core) for op in ops)


def overhead(partitions: int, core: str) -> float:
    """Return what an inference costs besides its operators: calling the runtime, and each part that XNNPACK runs.

    Raises:
        UsageError: if no core is called so.
    """
    table, name = _table(), core_of(core).name
    return float(table["fixed"][name] + partitions * table["border"][name])


def is_measured(op: Op) -> bool:
    """Return whether the table knows operators of this kind and type, if not this very shape."""
    return row_of(op, tile_of("cortex-a76", op.dtype)) in _table()["kinds"]


@functools.cache
def is_delegated(op: Op) -> bool:
    """Return whether XNNPACK took operators of this kind when they were measured; parameters can forbid it."""
    return row_of(op, tile_of("cortex-a76", op.dtype)) not in _table()["undelegated"]


def row_of(op: Op, tile: Tile, dtype: str = "") -> str:
    """Return the name of the row of the table."""
    method = method_of(op, tile)
    kind = _MATRIX if "gemm" in method and op.kind in _LAYERS else op.kind
    return "/".join(part for part in (kind, dtype or op.dtype, method) if part)
