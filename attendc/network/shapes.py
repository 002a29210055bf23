"""Shapes with a free number of images: joined from two of them, written, and counted for one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attendc.network.types import Shape

__all__ = ["FREE", "UNKNOWN", "bytes_of", "elements", "for_one_image", "join", "written"]

FREE, UNKNOWN = "N", "?"

_BITS = {
    **dict.fromkeys(("int8", "uint8", "qint8", "quint8", "bool"), 8),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 16),
    **dict.fromkeys(("int32", "uint32", "qint32", "float32"), 32),
    **dict.fromkeys(("int64", "uint64", "float64"), 64),
    **dict.fromkeys(("int4", "uint4"), 4),
}


def join(one: Sequence[int], two: Sequence[int]) -> Shape:
    """Return the shape with `N` in it, from the sizes with one image and with two.

    A size that grows otherwise than by a factor is `?`.
    """
    if len(one) != len(two):
        return (UNKNOWN,)
    return tuple(_joined(a, b) for a, b in zip(one, two, strict=True))


def _joined(one: int, two: int) -> int | str:
    if one == two:
        return one
    if two != 2 * one:
        return UNKNOWN
    return FREE if one == 1 else f"{one}*{FREE}"


def for_one_image(shape: Shape | None) -> tuple[int, ...] | None:
    """Return the sizes where N is 1; None where one is unknown."""
    if shape is None or UNKNOWN in shape:
        return None
    return tuple(1 if d == FREE else int(str(d).removesuffix(f"*{FREE}")) for d in shape)


def elements(shape: Shape | None) -> int | None:
    """Return how many numbers a tensor has where N is 1; None where a size is unknown."""
    sizes = for_one_image(shape)
    return None if sizes is None else math.prod(sizes)


def bytes_of(shape: Shape | None, dtype: str) -> int | None:
    """Return how many bytes a tensor takes where N is 1; None where a size or the dtype is unknown."""
    count = elements(shape)
    return None if count is None or dtype not in _BITS else -(-count * _BITS[dtype] // 8)


def written(shape: Shape | None) -> str:
    """Return the sizes with multiplication signs between them, `()` of a scalar, `?` of an unknown shape."""
    if shape is None:
        return UNKNOWN
    return "\N{MULTIPLICATION SIGN}".join(str(d) for d in shape) or "()"
