"""What may go and what must stay: guarded layers, ratios given by hand, and what each candidate would lose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.groups import Block, ChannelGroup, inner_groups
from attendc.compress.pruning.planner import Candidates, block_loss_by_groups, lost_by_count
from attendc.compress.pruning.sensitivity import Sensitivity, block_loss, channel_loss
from attendc.errors import UsageError
from attendc.models.attendnext import AttendNeXt

__all__ = ["Rows", "candidates_of", "counts_by_hand", "default_guard", "ratios_by_hand"]

Rows = tuple[Sequence[Sensitivity], float]
"""Sensitivity of each part, and the loss of the whole."""


def default_guard(model: nn.Module) -> tuple[str, ...]:
    """Return what stays unless told otherwise: stem and stage 1 of an AttendNeXt, the first convolution of others."""
    if isinstance(model, AttendNeXt):
        return ("stem", "stages.0")
    return tuple(name for name, m in model.named_modules() if isinstance(m, nn.Conv2d))[:1]


def candidates_of(
    found: Dependencies,
    scores: Mapping[str, Tensor],
    *,
    guard: Collection[str],
    spared: Collection[str] = (),
    measured: Rows | None = None,
) -> Candidates:
    """Return the groups and blocks that the budget may take from, with what each would lose.

    Args:
        found: of the network.
        scores: importance of the channels of each group.
        guard: names of layers, or of modules around them, whose outputs stay.
        spared: groups and blocks that are decided already.
        measured: sensitivity of each part, and the loss of the whole; None: by importance.

    Raises:
        UsageError: if a guarded name is not in the network.
    """
    _check_guard(found, guard)
    groups = tuple(g for g in found.groups if g.name not in spared and not _guards_group(guard, g))
    blocks = tuple(
        b for b in found.blocks if b.name not in spared and not _guards(guard, b.name) and not _holds(guard, b.name)
    )
    if measured is not None:
        lost: dict[str, Sequence[float]] = {g.name: channel_loss(g, *measured) for g in groups}
        without = {b.name: block_loss(b.name, *measured) for b in blocks}
        return Candidates(groups, blocks, dict(scores), lost, without)
    lost = {g.name: lost_by_count(g, scores[g.name]) for g in groups}
    without = {b.name: block_loss_by_groups(_deciding(groups, b, found.blocks), lost, b.name) for b in blocks}
    # Where its groups are not up for choice, nothing is known of what a block is worth.
    known = tuple(b for b in blocks if without[b.name] < float("inf"))
    return Candidates(groups, known, dict(scores), lost, without)


def _deciding(groups: Sequence[ChannelGroup], block: Block, blocks: Sequence[Block]) -> list[ChannelGroup]:
    """Return the groups but those of blocks within the block: without a gate's, a residual block still works."""
    within = [g for b in blocks if b.name.startswith(f"{block.name}.") for g in inner_groups(groups, b.name)]
    return [g for g in groups if g not in within]


def ratios_by_hand(found: Dependencies, keep: Mapping[str, float]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return (group -> part that stays, blocks that go) of `--keep NAME=PART`; a block goes with 0.

    Raises:
        UsageError: if a name is neither a layer whose outputs can be pruned nor a block, or a part is out of range.
    """
    ratios: dict[str, float] = {}
    removed: list[str] = []
    for name, part in keep.items():
        if part == 0 and name in {b.name for b in found.blocks}:
            removed.append(name)
            continue
        if not 0 < part < 1:
            raise UsageError(f"--keep {name}={part:g}: a part is between 0 and 1", hint="0 only removes a block")
        group = _group_named(found, name).name
        if ratios.setdefault(group, part) != part:
            raise UsageError(
                f"--keep {name}={part:g}: it goes with {group}, of which {ratios[group]:g} stay",
                hint="Give one part for both",
            )
    return ratios, tuple(removed)


def counts_by_hand(groups: Collection[ChannelGroup], ratios: Mapping[str, float]) -> dict[str, int]:
    """Return how many channels of each group stay: whole ones, as many in each column, one at least."""
    return {g.name: g.columns * max(1, round(g.size // g.columns * ratios[g.name])) for g in groups if g.name in ratios}


def _group_named(found: Dependencies, layer: str) -> ChannelGroup:
    """Return the group that the outputs of a layer belong to."""
    for group in found.groups:
        if any(m.layer == layer and m.side != "in" for m in group.members):
            return group
    if any(layer == b.name for b in found.blocks):
        reason = "it is a block, which only goes as a whole"
    else:
        reason = found.refused.get(layer, "the network has no such layer")
    names = [g.name for g in found.groups]
    raise UsageError(
        f"{layer} cannot be pruned: {reason}",
        hint=f"--keep takes 0 for a block, and a part for such layers as {', '.join(names[:3])}",
    )


def _check_guard(found: Dependencies, guard: Collection[str]) -> None:
    known = {name for name, _ in found.model.named_modules()}
    unknown = [name for name in guard if name not in known]
    if unknown:
        raise UsageError(
            f"--guard {unknown[0]}: the network has no such layer",
            hint="Give the name of a layer, or of a module around some, as the plan has them",
        )


def _guards(guard: Collection[str], name: str) -> bool:
    return any(name == g or name.startswith(f"{g}.") for g in guard)


def _holds(guard: Collection[str], block: str) -> bool:
    return any(g.startswith(f"{block}.") for g in guard)


def _guards_group(guard: Collection[str], group: ChannelGroup) -> bool:
    return any(m.side != "in" and _guards(guard, m.layer) for m in group.members)
