"""What a pruned network needs before it is good again: its batch norm statistics first, then training.

The teacher is the network as it was before pruning.
"""

from __future__ import annotations

import torch
from torch import nn

from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly, take
from attendc.data.preprocess import batches
from attendc.train import Task, TrainOptions, TrainResult, hold_out, train
from attendc.types import Preprocess

__all__ = ["RECOVER_OPTIONS", "recover", "refresh_batch_norms"]

RECOVER_OPTIONS = TrainOptions(epochs=2, lr=4e-3, weight_decay=0.01, warmup=0.1, label_smoothing=0.0, distill=0.9)
"""Steps as long as those of training from scratch: what is left has to find its place again."""
HELD_OUT = 0.05
"""Part of the training images that chooses the best epoch."""
BATCH = 64
"""Images at once for the statistics of batch norms."""
Norm = nn.modules.batchnorm._BatchNorm


def recover(
    pruned: nn.Module,
    teacher: nn.Module,
    dataset: Dataset,
    preprocess: Preprocess,
    options: TrainOptions,
    context: Context,
    *,
    turn: tuple[int, int] = (0, 1),
) -> TrainResult:
    """Train a pruned network in place, and leave it on the CPU in eval mode with the weights of its best epoch.

    In turn (i, n) of n it sees the i-th of n shares of the training images, so that n rounds take as long as one.
    Where the context has a resume folder, each turn keeps a state of its own: a turn that was finished is not trained
    again, one that was killed goes on.

    Raises:
        DataError: if a share makes no batch.
    """
    chosen, chooser = hold_out(dataset.train, HELD_OUT, seed=context.seed)
    share = take(chosen, range(turn[0], len(chosen), turn[1]))
    where = next(teacher.parameters()).device
    task = Task(share, chooser, preprocess, teacher.to(context.device) if options.distill > 0 else None)
    state_file = context.state_file(f"recover-{turn[0] + 1}-of-{turn[1]}")
    result = train(pruned, task, options, context, state_file=state_file)
    teacher.to(where)
    pruned.load_state_dict(result.best)
    pruned.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return result


@torch.no_grad()
def refresh_batch_norms(
    model: nn.Module, images: Images, preprocess: Preprocess, context: Context, *, count: int = 2048
) -> None:
    """Measure mean and variance of every batch norm again, in place, on `count` images; nothing is trained.

    The other modules stay in eval mode. A batch of a single image is left out: where one pixel is left, its variance
    would be no number. Without two images all is left as it is.
    """
    chosen = evenly(images, count)
    chosen = take(chosen, range(len(chosen) - (len(chosen) % BATCH == 1)))
    if len(chosen) == 0:
        return
    norms = [m for m in model.modules() if isinstance(m, Norm) and m.track_running_stats]
    momenta = [m.momentum for m in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with context.progress("batch norms", len(chosen)) as advance:
        for x, _ in batches(chosen, preprocess, batch_size=BATCH):
            model(x)
            advance(len(x), "")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
