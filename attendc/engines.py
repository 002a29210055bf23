"""Torch's engines for quantized kernels: which there are here, which one to take, and setting one for a while.

The engine that is set when a TorchScript file is loaded packs its weights; other kernels ask when they run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from attendc.errors import UsageError

__all__ = ["default_engine", "engines", "quantized_engine"]

_DEPRECATED = r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other quantized tensor creation"


def engines() -> tuple[str, ...]:
    """Return the engines that torch has on this machine."""
    return tuple(str(e) for e in torch.backends.quantized.supported_engines if e != "none")


def default_engine() -> str:
    """Return `onednn` where the processor multiplies 8 bits into 32 (VNNI), else `qnnpack`.

    Without VNNI, FBGEMM and oneDNN add pairs of products in 16 bits, which saturate unless weights have 7 bits: held to
    AVX2, dense layers whose weights are all 127 were up to 74 of 255 steps off. With VNNI FBGEMM's depthwise kernels
    still do, and `x86` takes those for more than 100 groups: up to 96 steps, where oneDNN and QNNPACK were 0 off.
    Source: measured with torch 2.13; 7 bits are `reduce_range` in torch.ao.quantization's qconfig for FBGEMM.
    """
    capabilities = torch.cpu.get_capabilities()
    has_vnni = capabilities.get("avx512_vnni", False) or capabilities.get("avx_vnni", False)
    return "onednn" if has_vnni and "onednn" in engines() else "qnnpack"


@contextmanager
def quantized_engine(name: str = "") -> Iterator[None]:
    """Set the engine, the default one if none is named, and what was set before at the end.

    Raises:
        UsageError: if torch has no such engine here.
    """
    chosen = name or default_engine()
    if chosen not in engines():
        raise UsageError(f"torch has no engine {chosen!r} here", hint=f"It has {', '.join(engines())}")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = chosen
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _DEPRECATED)
            yield
    finally:
        torch.backends.quantized.engine = before
