"""Grouped convolutions as torch-pruning understands them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from attendc.models.surgery import is_depthwise

__all__ = ["without_columns"]


@contextlib.contextmanager
def without_columns(model: nn.Module) -> Iterator[None]:
    """Write grouped convolutions as dense ones with zeros, as long as torch-pruning looks at them.

    It sums the importance of inputs over all columns, and takes one output a column for a depthwise convolution.
    """
    grouped = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1 and not is_depthwise(m)]
    as_they_are = [(m, m.weight, m.groups) for m in grouped]
    for layer, weight, groups in as_they_are:
        layer.weight, layer.groups = nn.Parameter(_dense(weight.detach(), groups)), 1
        layer.weight.grad = None if weight.grad is None else _dense(weight.grad, groups)
    try:
        yield
    finally:
        for layer, weight, groups in as_they_are:
            layer.weight, layer.groups = weight, groups


def _dense(weight: Tensor, groups: int) -> Tensor:
    """Return (O, I, H, W) from (O, I / groups, H, W)."""
    width = weight.shape[1]
    rows = [
        functional.pad(row, (0, 0, 0, 0, i * width, (groups - 1 - i) * width))
        for i, row in enumerate(weight.chunk(groups))
    ]
    return torch.cat(rows)
