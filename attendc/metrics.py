"""Numbers about networks and their outputs: parameters, MACs, agreement, distance in steps, signal to noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["count_macs", "count_params", "distance_in_steps", "sqnr_db", "top1_accuracy", "top1_agreement"]


def count_params(model: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return multiply-accumulates of convolutions and matrix products for one image (C, H, W)."""
    from torch.utils.flop_counter import FlopCounterMode

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter, _attention_in_products(), torch.no_grad():
        model(torch.zeros(2, *input_shape, device=device))
    return int(counter.get_total_flops()) // 4  # two images, two operations a MAC


@contextmanager
def _attention_in_products() -> Iterator[None]:
    """Let attention run as matrix products.

    In torch 2.13 the counter knows neither the operator that is a whole block of nn.TransformerEncoder in eval mode,
    nor the fused attention of a CPU.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def top1_agreement(a: Tensor, b: Tensor) -> float:
    """Return the part (0..1) of rows of logits (N, classes) whose largest entry is the same class."""
    return float((a.argmax(1) == b.argmax(1)).double().mean())


def top1_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Return the part (0..1) of rows whose largest entry is the target."""
    return float((logits.argmax(1) == targets).double().mean())


def distance_in_steps(a: Tensor, b: Tensor, step: float) -> tuple[float, float]:
    """Return (largest, mean) absolute difference in units of `step`, the scale of the int8 output."""
    steps = (a.double() - b.double()).abs() / step
    return float(steps.max()), float(steps.mean())


def sqnr_db(reference: Tensor, other: Tensor) -> float:
    """Return 10 log10 of signal power over error power, in dB; infinite where there is no error."""
    noise = float((reference.double() - other.double()).square().sum())
    signal = float(reference.double().square().sum())
    return math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise)
