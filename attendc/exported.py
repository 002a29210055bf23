"""What every step needs of an exported graph: its free batch size, and the constants it reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

__all__ = ["batch_dim", "constant"]

_MOST_IMAGES = 4096


def batch_dim() -> Any:
    """Return the free batch dimension of every export."""
    return torch.export.Dim("batch", min=1, max=_MOST_IMAGES)


def constant(gm: fx.GraphModule, node: fx.Node) -> Tensor:
    """Return the tensor that a get_attr node reads."""
    value: object = gm
    for part in str(node.target).split("."):
        value = getattr(value, part)
    assert isinstance(value, Tensor), f"{node.target} is no tensor"
    return value
