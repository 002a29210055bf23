"""How much the network loses when one part of it alone is pruned: a group of channels, or a block.

Each part is really taken out, and the batch norms see a few images, as they would after pruning. The planner takes
the measured loss in the place of what an importance would guess (`--sensitivity`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.groups import ChannelGroup
from attendc.compress.pruning.planner import keep_best
from attendc.compress.pruning.recover import refresh_batch_norms
from attendc.context import Context
from attendc.data.images import Images
from attendc.data.preprocess import batches
from attendc.models.surgery import remove_block
from attendc.types import Preprocess

__all__ = ["KEEP_RATIOS", "Probe", "Sensitivity", "block_loss", "channel_loss", "measure_pruning"]

KEEP_RATIOS = (0.75, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Probe:
    """What is measured with.

    Attributes:
        seen: training images for the batch norms.
        judged: images whose loss and accuracy are measured.
        preprocess: of both.
    """

    seen: Images
    judged: Images
    preprocess: Preprocess


@dataclass(frozen=True)
class Sensitivity:
    """Attributes:
    part: a layer or a block.
    what: `channels`, `block` or `int8`.
    keep: part of the channels that stayed; 0 for a block, 1 for int8.
    accuracy: top-1, 0..1.
    loss: mean cross-entropy, in nats.
    """

    part: str
    what: str
    keep: float
    accuracy: float
    loss: float


@torch.no_grad()
def judge(model: nn.Module, probe: Probe) -> tuple[float, float]:
    """Return (accuracy, loss) on the judged images."""
    hits, loss = 0, 0.0
    for x, targets in batches(probe.judged, probe.preprocess, batch_size=250):
        logits = model(x)
        hits += int((logits.argmax(1) == targets).sum())
        loss += float(functional.cross_entropy(logits, targets, reduction="sum"))
    return hits / len(probe.judged), loss / len(probe.judged)


def measure_pruning(
    model: nn.Module,
    found: Dependencies,
    scores: dict[str, Tensor],
    probe: Probe,
    sample: Tensor,
    context: Context,
    *,
    keep_ratios: Sequence[float] = KEEP_RATIOS,
) -> list[Sensitivity]:
    """Return a row for every group at every ratio, and for every block; `model` is left as it is."""
    rows: list[Sensitivity] = []

    def add(pruned: nn.Module, part: str, what: str, keep: float) -> None:
        refresh_batch_norms(pruned, probe.seen, probe.preprocess, Context(context.seed), count=len(probe.seen))
        rows.append(Sensitivity(part, what, keep, *judge(pruned, probe)))

    parts = [(g, count) for g in found.groups for count in dict.fromkeys(_count(g, r) for r in keep_ratios)]
    with context.progress("sensitivity", len(parts) + len(found.blocks)) as advance:
        for group, count in parts:
            pruned = copy.deepcopy(model)
            kept = keep_best(group, scores[group.name], count)
            remove_channels(pruned, group, kept, sample)
            add(pruned, group.name, "channels", len(kept) / group.size)
            advance(1, group.name)
        for block in found.blocks:
            pruned = copy.deepcopy(model)
            remove_block(pruned, block.name)
            add(pruned, block.name, "block", 0.0)
            advance(1, block.name)
    return rows


def channel_loss(group: ChannelGroup, rows: Sequence[Sensitivity], loss: float) -> list[float]:
    """Return the loss added when 0, 1, 2, ... channels of each column are gone, between and beyond what was measured.

    `loss` is that of the whole network. Without any channel left it is taken to be worse than the last measured one
    as that one is worse than the whole, twice over.
    """
    own = sorted((1 - r.keep, max(r.loss - loss, 0.0)) for r in rows if r.part == group.name and r.what == "channels")
    points = [(0.0, 0.0), *own, (1.0, 2 * own[-1][1] + 1e-6)]
    width = group.size // group.columns
    return [_between(points, gone / width) for gone in range(width + 1)]


def block_loss(name: str, rows: Sequence[Sensitivity], loss: float) -> float:
    """Return the loss added without a block."""
    return max(next(r.loss for r in rows if r.part == name and r.what == "block") - loss, 0.0)


def _count(group: ChannelGroup, ratio: float) -> int:
    return max(1, round(group.size // group.columns * ratio)) * group.columns


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]
