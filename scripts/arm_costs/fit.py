"""From counts to the table: coefficients of every kind on every core, and how well they fit what they never saw."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from attendc.arm.cost.cost import row_of
from attendc.arm.cost.features import Tile, features
from attendc.arm.ops import Op

__all__ = ["Measured", "best_tile", "fit_kinds"]

_NOISE = 1500
"""Instructions that a count wavers by, where caches of the allocator and the alignment of tensors differ."""
_HELD_OUT = 4
"""Every fourth case is left out of a first fit, and the error told is that on these."""
_DIGITS = 4
_SLACK = 0.005
"""How much more error a simpler tile may leave than the best does."""
_CANDIDATES = tuple(
    Tile(rows, columns, depth, step)
    for step, depth, rows, columns in itertools.product((8, 4, 2, 1), (16, 8, 4), (2, 4, 6), (8, 16))
    if step <= depth // 2
)
"""Those with the fewest lengths of rests first."""


@dataclass(frozen=True)
class Measured:
    """One operator and its instructions, without what the runtime takes around it."""

    op: Op
    instructions: float


def best_tile(measured: Sequence[Measured]) -> Tile:
    """Return the shape of the inner kernel that explains the matrix products of one core and type best."""
    products = [m for m in measured if m.op.kind in ("CONV_2D", "FULLY_CONNECTED") and m.op.pixels > 1]

    def error(tile: Tile) -> float:
        rows = _grouped(products, tile).values()
        errors = [e for of in rows for e in _errors(of, _solved(of, tile), tile)]
        return float(np.sqrt(np.mean(np.square(errors))))

    errors = {tile: error(tile) for tile in _CANDIDATES}
    return next(tile for tile, e in errors.items() if e <= min(errors.values()) + _SLACK)


def fit_kinds(measured: Sequence[Measured], tile: Tile) -> dict[str, tuple[list[float], list[float]]]:
    """Return row of the table -> coefficients, and relative errors of the cases that a fit without them has."""
    found = {}
    for row, of in sorted(_grouped(measured, tile).items()):
        left_out, kept = of[::_HELD_OUT], [m for i, m in enumerate(of) if i % _HELD_OUT]
        errors = _errors(left_out, _solved(kept, tile), tile) if len(of) > _HELD_OUT else np.zeros(0)
        coefficients = [float(f"{c:.{_DIGITS}g}") for c in _solved(of, tile)]
        found[row] = (coefficients, [float(e) for e in errors])
    return found


def _grouped(measured: Sequence[Measured], tile: Tile) -> Mapping[str, list[Measured]]:
    rows: dict[str, list[Measured]] = {}
    for one in measured:
        rows.setdefault(row_of(one.op, tile), []).append(one)
    return rows


def _solved(measured: Sequence[Measured], tile: Tile) -> Any:
    """Return coefficients, none below zero, of least squares of relative errors; of few instructions absolute ones."""
    matrix = np.array([features(m.op, tile) for m in measured], float)
    truth = np.array([m.instructions for m in measured])
    weight = 1 / (np.abs(truth) + _NOISE)
    size = np.maximum(np.abs(matrix * weight[:, None]).max(axis=0), 1e-12)
    return nnls(matrix * weight[:, None] / size, truth * weight, maxiter=1000)[0] / size


def _errors(measured: Sequence[Measured], coefficients: Any, tile: Tile) -> Any:
    matrix = np.array([features(m.op, tile) for m in measured], float)
    truth = np.array([m.instructions for m in measured])
    return (matrix @ coefficients - truth) / (np.abs(truth) + _NOISE)
