"""Nearest resizes that take the pixels that torch takes.

litert-torch 0.10 writes RESIZE_NEAREST_NEIGHBOR with half_pixel_centers: output i reads floor((i + 0.5) * in / out).
torch's mode `nearest` reads floor(i * in / out). For whole factors upwards the two are the same, for others not.
"""

from __future__ import annotations

from typing import Any

from attendc.converters.tflite_schema import op_name

__all__ = ["read_pixels_as_torch"]


def read_pixels_as_torch(model: Any) -> None:
    """Set the option of every nearest resize of a ModelT, in place."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if op_name(model, operator) == "RESIZE_NEAREST_NEIGHBOR":
                operator.builtinOptions.halfPixelCenters = False
