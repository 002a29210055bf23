"""Flips and shifts of a batch, drawn from a generator that the caller seeds, so that a run can be repeated."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["flip_and_shift"]


def flip_and_shift(
    stack: Tensor,
    *,
    flip: bool,
    shift: int,
    generator: torch.Generator,
    whole: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """Return uint8 (N, H, W, C) with each image mirrored by a coin and moved by up to `shift` pixels.

    What moves in from outside is zero. A stack that is only the `part` of a batch of `whole` images is changed as it
    would be inside that batch.
    """
    count, height, width, _ = stack.shape
    whole = count if whole is None else whole
    if flip:
        mirrored = torch.rand(whole, generator=generator)[part] < 0.5
        stack = torch.where(mirrored.view(-1, 1, 1, 1), stack.flip(2), stack)
    if shift:
        padded = torch.nn.functional.pad(stack, (0, 0, shift, shift, shift, shift))
        top, left = torch.randint(0, 2 * shift + 1, (2, whole), generator=generator)[:, part]
        rows = top.view(-1, 1, 1) + torch.arange(height).view(1, -1, 1)
        columns = left.view(-1, 1, 1) + torch.arange(width).view(1, 1, -1)
        stack = padded[torch.arange(count).view(-1, 1, 1), rows, columns]
    return stack
