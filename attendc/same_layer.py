"""Whether a layer of an artefact is one of the graph's in another form: zeros between its weights, or no weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attendc.types import Layer

__all__ = ["is_same_mean", "is_widened", "mean_layer", "takes_mean"]

_LARGEST = 127
_ROUNDING = 1e-6
"""Of a scale in float32, as a part of it."""


def mean_layer(channels: int, height: int, width: int) -> Layer:
    """Return the depthwise convolution that stands for the mean of each channel's image."""
    taps = height * width
    weight = np.full((channels, 1, height, width), _LARGEST, np.int8)
    scale = float(np.float32(1 / taps / _LARGEST))
    return Layer(weight.tobytes(), weight.shape, (scale,) * channels, (0,) * channels)


def takes_mean(layer: Layer) -> bool:
    """Return whether each output is the mean of what it looks at in one channel."""
    if len(layer.shape) != 4 or layer.shape[1] != 1 or any(layer.bias):
        return False
    weight = np.frombuffer(layer.weight, np.int8)
    shares = np.array(layer.scale) * float(weight[0]) * math.prod(layer.shape[2:])
    return bool((weight == weight[0]).all() and (abs(shares - 1) <= _ROUNDING).all())


def is_same_mean(layer: Layer, other: Layer) -> bool:
    """Return whether both take the mean of windows of one size in as many channels."""
    return layer.shape == other.shape and takes_mean(layer) and takes_mean(other)


def is_widened(layer: Layer, other: Layer) -> bool:
    """Return whether `other` has every weight of `layer`, scale and bias, and zeros otherwise.

    Each output may have its input channels among those of its neighbours (columns that were joined: the first output
    of a column in the first place, those of the next column in the next), and all may have columns of zeros left and
    right (a kernel widened to whole blocks).
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
    return any(_is_in_columns(held.all((2, 3, 4))) for held in windows)


def _is_in_columns(held: NDArray[np.bool_]) -> bool:
    """Return whether outputs have their channels in the places that their columns have, for some width of a column.

    `held` (outputs, places) tells where those of each output are.
    """
    outputs, places = held.shape
    order = np.arange(outputs)
    widths = (width for width in range(1, outputs // places + 1) if outputs % (width * places) == 0)
    return any(bool(held[order, order // width % places].all()) for width in widths)
