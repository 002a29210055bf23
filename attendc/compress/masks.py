"""Weights set to zero one by one: the smallest ones of the whole network, or two of every four in a row.

Shapes stay as they are, and the runtimes here multiply zeros like any other number: the files only compress better
(`benchmarks/zeros.py`). To make a network smaller and faster, take whole channels out of it.

NNCF finds the weights and places the masks. Its own choice of the smallest is by |w| / norm of the layer's weights, so
that layers with small weights are not emptied first. Source of two in four: arXiv 2104.08378.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attendc.compress.ptq import import_nncf
from attendc.errors import UsageError

__all__ = ["MaskKind", "frozen_zeros", "mask_weights"]

MaskKind = Literal["unstructured", "2:4"]

GROUP, KEPT = 4, 2
"""Of so many weights in a row, so many stay."""


def mask_weights(model: nn.Module, kind: MaskKind, ratio: float, sample: Tensor) -> tuple[nn.Module, dict[str, float]]:
    """Return a copy of `model` with masked weights, and the part of zeros (0..1) in each weight, by its name.

    All is in the weights: the copy is of the same class and has the same parameters. Weights are those of
    convolutions, linear layers and matrix products; biases and norms are left alone.

    `unstructured` takes the part `ratio` of all weights together, so a layer may lose more or less of its own. `2:4`
    takes two of every four in a row of an output channel's weights, flattened from (I, kh, kw); for 1x1 convolutions
    and linear layers that is along the input channels. Rows whose length is no multiple of four stay as they are
    (depthwise 3x3 convolutions have nine), and their part is then 0.0.

    `sample` is an input of the network, to trace it with.

    Raises:
        UsageError: if the ratio is not between 0 and 1, or not 0.5 for `2:4`, or there are no weights.
    """
    _check(model, kind, ratio)
    masked = copy.deepcopy(model)
    masks = _global_masks(model, ratio, sample)
    with torch.no_grad():
        for name, mask in masks.items():
            weight = masked.get_parameter(name)
            weight.mul_(two_of_four(weight) if kind == "2:4" else mask)
    weights = {*masks, *_empty(model)}
    return masked, {name: _zeros(tensor) for name, tensor in masked.state_dict().items() if name in weights}


def frozen_zeros(model: nn.Module) -> Callable[[nn.Module, int, int], None]:
    """Return an `on_step` of `attendc.train.Task` that sets the weights that are zero in `model` back to zero.

    It is called before each step, so the last step of an epoch leaves small numbers in their places, also in the
    weights that `train` returns. Call it once more on the trained network after loading those:
    `keep(model, 0, 0)`.
    """
    return _Kept({name: p.detach() != 0 for name, p in model.named_parameters() if p.ndim > 1 and _zeros(p) > 0})


@dataclass(frozen=True)
class _Kept:
    """Sets weights back to zero; a class and no function, so that it can be sent to other processes."""

    masks: Mapping[str, Tensor]

    @torch.no_grad()
    def __call__(self, trained: nn.Module, _step: int, _steps: int) -> None:
        for name, mask in self.masks.items():
            weight = trained.get_parameter(name)
            weight.mul_(mask.to(weight.device))


def two_of_four(weight: Tensor) -> Tensor:
    """Return the mask of the two largest |w| of every four in each row (I, kh, kw), or of all if fours do not fit."""
    if weight[0].numel() % GROUP:
        return torch.ones_like(weight, dtype=torch.bool)
    fours = weight.detach().reshape(-1, GROUP).abs()
    mask = torch.zeros_like(fours, dtype=torch.bool)
    return mask.scatter_(1, fours.topk(KEPT, dim=1).indices, value=True).reshape(weight.shape)


def _check(model: nn.Module, kind: MaskKind, ratio: float) -> None:
    if not 0 < ratio < 1:
        raise UsageError(f"the ratio of masked weights is {ratio}", hint="It must lie between 0 and 1")
    if kind == "2:4" and ratio != 1 - KEPT / GROUP:
        raise UsageError(f"2:4 masks with a ratio of {ratio}", hint="Two of every four weights are 0.5")
    if not any(p.ndim > 1 and _zeros(p) < 1 for p in model.parameters()):
        raise UsageError("the network has no weights that could be masked")


class _Root(nn.Module):
    """Holds a network: NNCF puts a module of its own into the root, which an nn.Sequential would call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)


def _global_masks(model: nn.Module, ratio: float, sample: Tensor) -> dict[str, Tensor]:
    """Return NNCF's masks by the names of the weights."""
    nncf = import_nncf()
    from nncf.torch.function_hook.pruning.magnitude.algo import get_pruned_modules

    # A norm of zero makes NNCF's threshold wrong for all layers.
    ignored = [f"network.{name}" for name in _empty(model)]
    with contextlib.redirect_stdout(sys.stderr):
        hooked = nncf.prune(
            _Root(copy.deepcopy(model)),
            nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL,
            ratio=ratio,
            ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
            examples_inputs=sample,
        )
    return {name.removeprefix("network."): hook.binary_mask for name, hook in get_pruned_modules(hooked).items()}


def _empty(model: nn.Module) -> list[str]:
    """Return the names of the weights that are zero already, all of them."""
    return [name for name, p in model.named_parameters() if p.ndim > 1 and _zeros(p) == 1]


def _zeros(weight: Tensor) -> float:
    return float((weight == 0).double().mean())
