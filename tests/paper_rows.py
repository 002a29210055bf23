"""Rows of the paper's table with made-up numbers."""

from __future__ import annotations

from paper_claims import Row

__all__ = ["CORES", "HIGH", "LOW", "row"]

CORES = ("cortex-a72", "cortex-a76")
HIGH, LOW = (0.90, 0.91, 0.92), (0.80, 0.81, 0.82)


def row(name: str, floating: tuple[int, int], int8: tuple[int, int], *, size: int = 224, params: int = 1000) -> Row:
    """Return a row; instructions in the order of CORES, and a name in small letters is a design's."""
    counts = {"float32": dict(zip(CORES, floating, strict=True)), "int8": dict(zip(CORES, int8, strict=True))}
    return Row(name, name.islower(), size, params, 0, counts)
