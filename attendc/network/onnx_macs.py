"""Multiply-accumulates of ONNX files, for what was measured of them."""

from __future__ import annotations

import dataclasses
from collections import Counter

from attendc.arm.measure.measured import Measured
from attendc.network.from_onnx import onnx_network
from attendc.network.types import Tensor

__all__ = ["with_onnx_macs"]


def with_onnx_macs(measured: Measured) -> Measured:
    """Add the multiply-accumulates of an ONNX file, by the dtype of the weights; where one is unknown, none."""
    if measured.file.suffix != ".onnx" or measured.timing is not None:
        return measured
    macs: Counter[str] = Counter()
    for node in onnx_network(measured.file).layers:
        if node.macs is None:
            return measured
        if node.macs:
            macs[max(node.weights, key=_size, default=node.outputs[0]).dtype] += node.macs
    return dataclasses.replace(measured, macs=macs)


def _size(tensor: Tensor) -> int:
    return tensor.bytes or 0
