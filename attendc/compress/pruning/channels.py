"""Take channels of one group out of a network, and see that what is left still runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from attendc.compress.pruning.groups import ChannelGroup, Member
from attendc.errors import CheckpointError
from attendc.models.surgery import is_depthwise, layer_shape, operate
from attendc.types import Surgery

__all__ = ["check_runs", "remove_channels"]


def remove_channels(
    model: nn.Module, group: ChannelGroup, kept: Collection[int], sample: Tensor
) -> dict[str, tuple[int, int, int]]:
    """Leave only the `kept` channels of a group, in place; return the shapes of the layers that changed.

    Channels are counted as in the network before any pruning of this group.

    Raises:
        CheckpointError: if the network does not run after it, or gives another shape.
    """
    with torch.no_grad():
        before = model(sample).shape
    changed: dict[str, tuple[int, int, int]] = {}
    for member in group.members:
        gone = {c for c, r in zip(member.channels, member.roots, strict=True) if r not in kept}
        if gone:
            changed[member.layer] = _shrink(model, member, gone)
    after = check_runs(model, sample, f"after pruning {group.name}")
    if after != before:
        raise CheckpointError(f"after pruning {group.name} the network gives {tuple(after)}, not {tuple(before)}")
    return changed


def _shrink(model: nn.Module, member: Member, gone: set[int]) -> tuple[int, int, int]:
    """Take channels out of one side of one layer and return its new shape."""
    layer = model.get_submodule(member.layer)
    outputs, inputs, groups = layer_shape(layer)
    old = {name: value.detach().clone() for name, value in layer.state_dict().items()}
    out_kept = [c for c in range(outputs) if member.side == "in" or c not in gone]
    in_kept = [c for c in range(inputs) if member.side == "out" or c not in gone]
    if is_depthwise(layer):
        groups = len(out_kept)
    shape = (len(out_kept), len(in_kept), groups)
    local = _inputs_by_output(out_kept, in_kept, (outputs, inputs, groups)) if member.side == "in" else None
    operate(model, Surgery(layers={member.layer: shape}))
    new = layer.state_dict()
    for name, value in old.items():
        if value.ndim == 0:  # num_batches_tracked
            continue
        value = value[out_kept]
        if local is not None and name == "weight":
            index = local.view(*local.shape, *(1,) * (value.ndim - 2)).expand(-1, -1, *value.shape[2:])
            value = value.gather(1, index)
        new[name].copy_(value)
    return shape


def _inputs_by_output(out_kept: Sequence[int], in_kept: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
    """Return, for each output, where its kept inputs stand in its row of the weight: (outputs, inputs per group)."""
    outputs, inputs, groups = shape
    width = inputs // groups
    columns = [[c - g * width for c in in_kept if c // width == g] for g in range(groups)]
    return torch.tensor([columns[o * groups // outputs] for o in out_kept])


def check_runs(model: nn.Module, sample: Tensor, when: str) -> torch.Size:
    """Return the shape of the output, or say that the network does not run `when`."""
    try:
        with torch.no_grad():
            out: Tensor = model(sample)
    except Exception as e:  # whatever the user's network raises
        raise CheckpointError(f"the network does not run {when}: {type(e).__name__}: {e}") from e
    return out.shape
