"""Whether a layer of an artefact is one of the graph's with zeros put between its weights."""

from __future__ import annotations

import numpy as np

from attendc.types import Layer

__all__ = ["is_widened"]


def is_widened(layer: Layer, other: Layer) -> bool:
    """Return whether `other` has every weight of `layer`, scale and bias, and zeros otherwise.

    Each output may have its input channels among those of its neighbours (columns that were joined), and all may have
    columns of zeros left and right (a kernel widened to whole blocks). Which channels an output then reads is not seen
    here: that the answers are the graph's says so.
    """
    if (layer.scale, layer.bias) != (other.scale, other.bias) or len(layer.shape) != 4 or len(other.shape) != 4:
        return False
    outputs, channels, rows, columns = layer.shape
    wide = other.shape[3] - columns
    if (other.shape[0], other.shape[2]) != (outputs, rows) or wide < 0 or other.shape[1] % channels:
        return False
    small = np.frombuffer(layer.weight, np.int8).reshape(outputs, 1, channels, rows, columns)
    large = np.frombuffer(other.weight, np.int8).reshape(outputs, -1, channels, rows, other.shape[3])
    if np.count_nonzero(small) != np.count_nonzero(large):
        return False
    windows = (large[..., left : left + columns] == small for left in range(wide + 1))
    return any(bool(held.all((2, 3, 4)).any(1).all()) for held in windows)
