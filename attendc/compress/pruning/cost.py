"""What a network of given layer shapes costs. A new unit of cost is one more function in `COSTS`."""

from __future__ import annotations

from collections.abc import Callable

from attendc.compress.pruning.shapes import Shapes

__all__ = ["COSTS", "TILE", "Cost", "int8_bytes", "macs", "params"]

Cost = Callable[[Shapes], float]

TILE = 16
"""Outputs of a group that the int8 kernels of XNNPACK compute at once on ARM; 10 cost what 16 cost."""


def macs(shapes: Shapes) -> float:
    """Return multiply-accumulates of one inference, of convolutions and linear layers."""
    return sum(s.weights * s.positions for s in shapes.values() if s.kind in ("conv", "linear"))


def params(shapes: Shapes) -> float:
    """Return the number of trained numbers."""
    return sum(s.weights + s.params * s.outputs for s in shapes.values() if s.kind != "pool")


def int8_bytes(shapes: Shapes) -> float:
    """Return an estimate of the bytes of the int8 TFLite file, within 2 % on trained networks of 80 kB and more.

    A weight takes a byte; an output channel takes its bias (4), and scale (4) and zero point (8) of both its weights
    and its bias; a layer takes what describes it and the tensors around it, fitted by `benchmarks/file_bytes.py`.
    """
    layers = [s for s in shapes.values() if s.kind in ("conv", "linear", "pool")]
    return sum(s.weights + s.outputs * BYTES_CHANNEL + BYTES_LAYER for s in layers)


BYTES_CHANNEL = 28
BYTES_LAYER = 585


COSTS: dict[str, Cost] = {"macs": macs, "params": params, "bytes": int8_bytes}
"""What a budget can be given in."""
