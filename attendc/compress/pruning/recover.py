"""What a pruned network needs before it is good again: its batch norm statistics first, then training.

The teacher is the network as it was before pruning.
"""

from __future__ import annotations

import torch
from torch import nn

from attendc.context import Context
from attendc.data.images import Images, evenly
from attendc.data.preprocess import batches
from attendc.train import TrainOptions
from attendc.types import Preprocess

__all__ = ["RECOVER_OPTIONS", "refresh_batch_norms"]

RECOVER_OPTIONS = TrainOptions(epochs=2, lr=2e-3, weight_decay=0.01, warmup=0.1, label_smoothing=0.0, distill=0.9)
"""Longer steps than QAT's: what is left has to find its place again."""
Norm = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def refresh_batch_norms(
    model: nn.Module, images: Images, preprocess: Preprocess, context: Context, *, count: int = 2048
) -> None:
    """Measure mean and variance of every batch norm again, in place, on `count` images; nothing is trained.

    The other modules stay in eval mode. With images of one pixel left, or none, statistics of a batch would be no
    number: then it is left as it is.
    """
    norms = [m for m in model.modules() if isinstance(m, Norm) and m.track_running_stats]
    momenta = [m.momentum for m in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    chosen = evenly(images, count)
    with context.progress("batch norms", len(chosen)) as advance:
        for x, _ in batches(chosen, preprocess, batch_size=64):
            model(x)
            advance(len(x), "")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
