"""Flips and shifts that can be repeated and checked by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attendc.data.augment import flip_and_shift


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 16, side: int = 6, channels: int = 1) -> Tensor:
    return torch.randint(1, 256, (count, side, side, channels), dtype=torch.uint8, generator=seeded(9))


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """Return the image (H, W, C) moved, with zeros where nothing was."""
    height, width = image.shape[:2]
    out = torch.zeros_like(image)
    for row in range(max(0, down), min(height, height + down)):
        for column in range(max(0, right), min(width, width + right)):
            out[row, column] = image[row - down, column - right]
    return out


def test_the_same_seed_gives_the_same_images() -> None:
    first, again, other = (flip_and_shift(images(), flip=True, shift=2, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_flip_and_no_shift_change_nothing() -> None:
    assert torch.equal(flip_and_shift(images(), flip=False, shift=0, generator=seeded()), images())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shift", [1, 2, 8])
def test_each_image_is_moved_by_what_the_generator_draws(shift: int, channels: int) -> None:
    stack = images(channels=channels)
    top, left = torch.randint(0, 2 * shift + 1, (2, len(stack)), generator=seeded(3))
    shifted = flip_and_shift(stack, flip=False, shift=shift, generator=seeded(3))
    for i in range(len(stack)):
        assert torch.equal(shifted[i], moved(stack[i], shift - int(top[i]), shift - int(left[i])))


def test_shifts_reach_both_ends_and_no_further() -> None:
    dot = torch.zeros(500, 7, 7, 1, dtype=torch.uint8)
    dot[:, 3, 3] = 1
    places = flip_and_shift(dot, flip=False, shift=2, generator=seeded()).nonzero()
    assert len(places) == 500
    assert {int(r) for r in places[:, 1]} == {int(c) for c in places[:, 2]} == {1, 2, 3, 4, 5}


def test_each_image_is_mirrored_left_to_right_or_left_alone() -> None:
    flipped = flip_and_shift(images(), flip=True, shift=0, generator=seeded())
    same = [torch.equal(a, b) for a, b in zip(flipped, images(), strict=True)]
    mirrored = [torch.equal(a, b.flip(1)) for a, b in zip(flipped, images(), strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


def test_half_of_the_images_are_mirrored() -> None:
    edge = torch.zeros(2000, 1, 2, 1, dtype=torch.uint8)
    edge[:, 0, 0] = 1
    share = flip_and_shift(edge, flip=True, shift=0, generator=seeded())[:, 0, 1].float().mean()
    assert abs(float(share) - 0.5) < 0.045  # four standard errors of sqrt(0.25 / 2000)


def test_shape_and_type_are_kept_and_the_input_is_not_changed() -> None:
    stack = images()
    out = flip_and_shift(stack, flip=True, shift=2, generator=seeded())
    assert (out.shape, out.dtype) == (stack.shape, torch.uint8)
    assert torch.equal(stack, images())


@pytest.mark.parametrize("part", [slice(0, 5), slice(5, 16)])
def test_a_part_of_a_batch_is_changed_as_inside_the_whole(part: slice) -> None:
    whole = flip_and_shift(images(), flip=True, shift=2, generator=seeded(3))
    own = flip_and_shift(images()[part], flip=True, shift=2, generator=seeded(3), whole=16, part=part)
    assert torch.equal(own, whole[part])
