"""A network without a checkpoint: fresh weights by a seed, and batch norms that fit them.

It is made to be measured, not to be right: every operator has its shape and sane ranges, and nothing was learned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from attendc.errors import CheckpointError
from attendc.models.registry import build
from attendc.types import Architecture

__all__ = ["fresh_network"]

_IMAGES = 4
"""Random inputs that the batch norms see."""


def fresh_network(architecture: Architecture, input_shape: tuple[int, int, int], *, seed: int) -> nn.Module:
    """Return the network in eval mode; the same seed gives the same weights.

    Batch norms that were never used take the statistics of random inputs of `input_shape` (C, H, W), else the numbers
    would grow or fade from layer to layer. One whose factors are all zero, as some networks start a residual branch,
    gets ones: the branch would be a constant. A factory that loads weights of its own keeps them.

    Raises:
        CheckpointError: if it cannot be built, or does not run on such an input.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(architecture, allow_foreign=True).eval()
        x = torch.randn(_IMAGES, *input_shape)
        _settle(model, x)
    return model


def _settle(model: nn.Module, x: Tensor) -> None:
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and _is_unused(m)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        if norm.affine and not norm.weight.any():
            nn.init.ones_(norm.weight)
        norm.momentum = None  # the mean over all batches, here of one
        norm.train()
    try:
        with torch.no_grad():
            model(x)
    except Exception as e:  # the network may be the user's, whose code may raise anything
        raise CheckpointError(
            f"the network does not run on {tuple(x.shape)}: {type(e).__name__}: {e}",
            hint="Give the input that it takes: --input-shape CxHxW",
        ) from e
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    model.eval()


def _is_unused(norm: _BatchNorm) -> bool:
    """Return whether the statistics are those of a norm that was just made: mean 0, variance 1."""
    if norm.running_mean is None or norm.running_var is None:
        return False
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())
