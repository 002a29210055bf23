"""What each channel of each group is worth, by torch-pruning's estimators or by the activations.

Sources: L1 arXiv 1608.08710; L2 over a group arXiv 2301.12900; Taylor 1906.10771; batch norm scale 1708.06519;
activations 1607.03250 (here their mean size instead of the share of zeros, since SiLU is hardly ever zero).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn import functional

from attendc.compress.pruning.columns import without_columns
from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.groups import ChannelGroup
from attendc.errors import UsageError

__all__ = ["IMPORTANCES", "NEED_DATA", "Importance", "measure_importance"]

Importance = Literal["l1", "l2", "taylor", "bn", "activation"]
IMPORTANCES: tuple[Importance, ...] = ("l1", "l2", "taylor", "bn", "activation")
NEED_DATA = ("taylor", "activation")

_ESTIMATORS: dict[str, Any] = {
    "l1": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=1),
    "l2": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
    "bn": torch_pruning.importance.BNScaleImportance,
    # The change of the loss when a whole channel goes: neither normalised nor averaged over the layers.
    "taylor": lambda: torch_pruning.importance.GroupTaylorImportance(
        group_reduction="sum", normalizer=None, multivariable=True
    ),
}


def measure_importance(
    found: Dependencies, kind: Importance, data: Iterable[tuple[Tensor, Tensor]] = ()
) -> dict[str, Tensor]:
    """Return for each group the importance of its channels, float32 (size,), at least 0.

    Args:
        found: groups, and the copy of the network that is measured on.
        kind: `taylor` and `activation` need `data`.
        data: batches of (inputs (N, C, H, W), targets (N,)).

    Raises:
        UsageError: if `kind` finds nothing to go by in a group, or has no data.
    """
    batches = list(data)
    if kind in NEED_DATA and not batches:
        raise UsageError(f"the importance {kind} needs images", hint="Add --data, or --importance l2")
    if kind == "activation":
        return _activations(found, batches)
    if kind == "taylor":
        return _taylor(found, batches)
    scores = _estimated(found, kind)  # no number where all are zero, since they are parts of their mean
    return {g.name: score.nan_to_num() * _layers_of(g) for g, score in zip(found.groups, scores, strict=True)}


def _estimated(found: Dependencies, kind: Importance) -> list[Tensor]:
    """Return what torch-pruning says of each group."""
    estimate = _ESTIMATORS[kind]()
    with without_columns(found.model):
        scores = [estimate(found.raw[group.name]) for group in found.groups]
    without = [g.name for g, score in zip(found.groups, scores, strict=True) if score is None]
    if without:
        raise UsageError(
            f"the importance {kind} finds nothing to go by in {', '.join(without[:3])}",
            hint="Use another --importance",
        )
    return [score.detach().float() for score in scores]


def _taylor(found: Dependencies, batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of the squared change over the batches: the gradient over all of them is near zero."""
    total = {g.name: torch.zeros(g.size) for g in found.groups}
    for x, targets in batches:
        found.model.zero_grad()
        functional.cross_entropy(found.model(x), targets).backward()  # type: ignore[no-untyped-call]
        for group, change in zip(found.groups, _estimated(found, "taylor"), strict=True):
            total[group.name] += change.square() / len(batches)
    return total


def _layers_of(group: ChannelGroup) -> int:
    """Return how many layers lose weights with a channel: so many times are scores worth that are parts of a mean."""
    return sum(1 for m in group.members if m.side != "both")


@torch.no_grad()
def _activations(found: Dependencies, batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the mean absolute value that the layers which read a channel find in it, in parts of the group's mean."""
    readers = {m.layer for g in found.groups for m in g.members if m.side == "in"}
    sizes: dict[str, list[Tensor]] = {name: [] for name in readers}

    def note(name: str, reader: nn.Module, x: Tensor) -> None:
        channels = x.ndim - 1 if isinstance(reader, nn.Linear) else 1
        pixels = tuple(i for i in range(x.ndim) if i != channels)
        sizes[name].append(x.abs().mean(pixels))

    hooks = [
        found.model.get_submodule(name).register_forward_pre_hook(lambda m, given, name=name: note(name, m, given[0]))
        for name in readers
    ]
    for x, _ in batches:
        found.model(x)
    for hook in hooks:
        hook.remove()
    return {g.name: _read_size(g, {n: torch.stack(s).mean(0) for n, s in sizes.items()}) for g in found.groups}


def _read_size(group: ChannelGroup, sizes: dict[str, Tensor]) -> Tensor:
    score = torch.zeros(group.size)
    for member in group.members:
        if member.side == "in":
            score.index_add_(0, torch.tensor(member.roots), sizes[member.layer][list(member.channels)])
    return score / score.mean().clamp(min=1e-12) * _layers_of(group)
