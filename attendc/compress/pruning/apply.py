"""From a plan to a smaller network, one group at a time, each checked by running what is left."""

from __future__ import annotations

import copy
from collections.abc import Collection

from torch import Tensor, nn

from attendc.compress.pruning.channels import check_runs, remove_channels
from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.groups import ChannelGroup
from attendc.compress.pruning.plan import PrunePlan
from attendc.errors import UsageError
from attendc.models.surgery import outermost, remove_block
from attendc.types import Surgery

__all__ = ["apply_prune_plan"]


def apply_prune_plan(
    model: nn.Module, plan: PrunePlan, found: Dependencies, sample: Tensor
) -> tuple[nn.Module, Surgery]:
    """Return a smaller copy of `model`, and what its Spec must keep of the operation.

    Raises:
        UsageError: if the plan names what the network does not have.
        CheckpointError: if the network does not run after a step.
    """
    _check_plan(plan, found)
    pruned = copy.deepcopy(model).cpu().eval()
    removed = outermost(plan.removed)
    for name in removed:
        remove_block(pruned, name)
        check_runs(pruned, sample, f"without the block {name}")
    layers: dict[str, tuple[int, int, int]] = {}
    for group in found.groups:
        if group.name in plan.kept:
            left = _outside(group, removed)
            layers |= remove_channels(pruned, left, plan.kept[group.name], sample)
    return pruned, Surgery(removed, layers)


def _outside(group: ChannelGroup, removed: Collection[str]) -> ChannelGroup:
    """Return the group without the layers of removed blocks."""
    left = tuple(m for m in group.members if not any(m.layer.startswith(f"{b}.") for b in removed))
    return ChannelGroup(group.name, group.size, group.columns, left)


def _check_plan(plan: PrunePlan, found: Dependencies) -> None:
    groups = {g.name: g for g in found.groups}
    blocks = [b.name for b in found.blocks]
    for name in plan.removed:
        if name not in blocks:
            known = found.refused.get(name) or f"Blocks are {', '.join(blocks) or 'none'}"
            raise UsageError(f"the plan removes {name}, which is no block that can be removed", hint=known)
    for name, kept in plan.kept.items():
        if name not in groups:
            known = found.refused.get(name) or f"Layers are {', '.join(groups)}"
            raise UsageError(f"the plan prunes {name}, which cannot be pruned", hint=known)
        group = groups[name]
        _check_channels(group, kept, plan.sizes.get(name, group.size))
        width = group.size // group.columns
        counts = {sum(1 for c in kept if c // width == column) for column in range(group.columns)}
        if not kept or len(counts) > 1:
            raise UsageError(
                f"the plan keeps {len(kept)} of {group.size} channels of {name}, not as many in each column",
                hint=f"Each of its {group.columns} columns must keep as many channels as the others, one at least",
            )


def _check_channels(group: ChannelGroup, kept: Collection[int], size: int) -> None:
    if size != group.size:
        raise UsageError(
            f"the plan is of {size} channels of {group.name}, which has {group.size}",
            hint="It was made for another network, or for this one before it was pruned",
        )
    outside = [c for c in kept if not 0 <= c < group.size]
    if outside:
        raise UsageError(
            f"the plan keeps channel {outside[0]} of {group.name}, which has {group.size}",
            hint=f"They are counted from 0 to {group.size - 1}",
        )
