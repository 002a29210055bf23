"""A network that several processes train as one: gradients are averaged, and batch norms look at the whole batch.

torch's SyncBatchNorm runs on CUDA only; here the norms share their sums on CPU too, so that two processes with half a
batch each compute what one computes with all of it.

Source: arXiv 2006.15704 (DistributedDataParallel), 1711.07240, 3.2 (batch norms across devices).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attendc.distributed.team import Team

__all__ = ["replicated"]

_Norm = nn.modules.batchnorm._BatchNorm


@contextmanager
def replicated(model: nn.Module, team: Team, device: str) -> Iterator[Callable[[Tensor], Any]]:
    """Give what to call in place of `model` while the team trains it; alone that is `model` itself.

    Every process must have the same network; the weights are those of the first.
    """
    if team.is_alone:
        yield model
        return
    group = team.group(device)
    norms = [m for m in model.modules() if isinstance(m, _Norm) and not isinstance(m, nn.SyncBatchNorm)]
    for norm in norms:
        norm.forward = partial(_normalised, norm, group)  # type: ignore[method-assign]
    try:
        yield _Replica(model, group)
    finally:
        for norm in norms:
            del norm.forward


class _Replica:
    """The network inside a DistributedDataParallel, which is made anew when other parameters are trained.

    Quantization-aware training freezes ranges on its way, and DistributedDataParallel waits for the gradient of each
    parameter that was trained when it was made.
    """

    def __init__(self, model: nn.Module, group: Any) -> None:
        self.model, self.group = model, group
        self.trained: list[nn.Parameter] = []
        self.wrapped: nn.Module | None = None

    def __call__(self, x: Tensor) -> Any:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if self.wrapped is None or [*map(id, trained)] != [*map(id, self.trained)]:
            self.wrapped = nn.parallel.DistributedDataParallel(
                self.model,
                process_group=self.group,
                forward_sync_buffers=False,  # they are the same: what they are made of is shared
                find_unused_parameters=_leaves_some_out(self.model, trained, x),
            )
            self.trained = trained
        return self.wrapped(x)


def _leaves_some_out(model: nn.Module, trained: Sequence[Tensor], x: Tensor) -> bool:
    """Return whether the output does not depend on some parameter. The mode is eval, so that no statistics change."""
    modes = {} if isinstance(model, torch.fx.GraphModule) else {m: m.training for m in model.modules()}
    for module in modes:
        module.training = False
    gradients = torch.autograd.grad(model(x).float().sum(), trained, allow_unused=True)
    for module, mode in modes.items():
        module.training = mode
    return any(g is None for g in gradients)


def _normalised(norm: Any, group: Any, x: Tensor) -> Tensor:
    """Do a batch norm of (N, C, ...) with mean and variance of the images of all processes."""
    if not norm.training:
        y: Tensor = type(norm).forward(norm, x)
        return y
    with torch.autocast(x.device.type, enabled=False):
        return _with_shared_statistics(norm, group, x.float()).to(x.dtype)


class _Summed(torch.autograd.Function):
    """The sum over the processes; each gets the gradients of all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _sum(values, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _sum(gradients[0], ctx.group), None


def _sum(values: Tensor, group: Any) -> Tensor:
    from torch import distributed

    summed = values.clone()
    distributed.all_reduce(summed, group=group)
    return summed


def _with_shared_statistics(norm: Any, group: Any, x: Tensor) -> Tensor:
    channels = x.shape[1]
    view = (1, channels, *(1 for _ in x.shape[2:]))
    variance, mean = (v.double() for v in torch.var_mean(x, [0, *range(2, x.ndim)], correction=0))
    own = x.numel() / channels
    sums = torch.cat([mean * own, (variance + mean**2) * own, mean.new_tensor([own])])
    sums = _Summed.apply(sums, group)  # type: ignore[no-untyped-call]
    count = sums[-1].detach()
    mean, square = sums[:channels] / count, sums[channels:-1] / count
    variance = square - mean**2
    _follow(norm, mean.detach(), (variance * (count / (count - 1).clamp(min=1))).detach())
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return torch.addcmul(shift.float().view(view), x, scale.float().view(view))


@torch.no_grad()
def _follow(norm: Any, mean: Tensor, variance: Tensor) -> None:
    """Let the running statistics follow, as nn.BatchNorm2d does."""
    if norm.running_mean is None:
        return
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)
