"""The most multiply-accumulates that one instruction of a core can do: what a count is held against."""

from __future__ import annotations

from collections.abc import Mapping

from attendc.arm.cores import Core

__all__ = ["least_instructions", "macs_an_instruction"]

_INT8_BY_DOT_PRODUCT = 16
"""SDOT (vector): 4 lanes of int32 get the sum of 4 products of int8 each."""
_INT8_WIDENING = 8
"""SMLAL (vector): 8 products of int8 are added to 8 lanes of int16. Only two fit into such a lane: with the SADALP that
brings them to int32 it is 16 in 3 instructions, which no kernel of exact sums exceeds."""
_FLOAT32 = 4
"""FMLA (vector): 4 lanes of float32."""
_INT16 = 4
"""SMLAL (vector): 4 products of int16 are added to 4 lanes of int32."""


def macs_an_instruction(dtype: str, core: Core) -> int:
    """Return the lanes of the widest instruction that multiplies and accumulates numbers of a dtype.

    `dynamic` layers quantize their input while they run, and multiply int8.

    Source: Arm Architecture Reference Manual for A-profile, DDI 0487, section C7.2: SDOT, SMLAL, FMLA.
    """
    if dtype in ("int8", "uint8", "dynamic"):
        return _INT8_BY_DOT_PRODUCT if core.has_dot_product else _INT8_WIDENING
    return _INT16 if dtype == "int16" else _FLOAT32


def least_instructions(macs: Mapping[str, int], core: Core) -> float:
    """Return how many instructions multiply-accumulates need at least; `macs` is dtype -> how many of them."""
    return sum(count / macs_an_instruction(dtype, core) for dtype, count in macs.items())
