"""Rolls, pads that repeat the image, and repeats, spelled out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nets import Call, distance, ops, raw
from torch import Tensor
from torch.nn.functional import pad

from attendc.compress.graph import tidy
from attendc.compress.passes.rolls import spell_out_rolls


@pytest.mark.parametrize(
    ("function", "operators"),
    [
        (lambda x: x.roll((3, -2), (2, 3)), ["slice", "slice", "cat"] * 2),
        (lambda x: x.roll(8, 2), []),  # all the way round
        (lambda x: pad(x, (1, 2, 0, 1), mode="circular"), ["slice", "slice", "cat", "slice", "cat"]),
        (lambda x: pad(x, (3, 0, 0, 0), mode="replicate"), ["slice", "cat"]),
        (lambda x: pad(x[:, 0], (3, 1), mode="reflect"), ["select", "slice", "flip", "slice", "flip", "cat"]),
        (lambda x: x.repeat(1, 2, 1, 3), ["cat", "cat"]),
        (lambda x: x.tile(2, 1), ["cat"]),
    ],
)
def test_slices_are_put_together_again(
    function: Callable[[Tensor], Tensor], operators: list[str], seen: Tensor
) -> None:
    graph = raw(Call(function))
    assert spell_out_rolls(graph).changed
    assert [o for o in ops(tidy(graph)) if o not in ("alias", "clone")] == operators
    assert distance(graph, Call(function), seen) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: pad(x, (1, 2, 3, 0), mode="reflect"),  # LiteRT has it
        lambda x: pad(x, (1, 2, 3, 0)),
        lambda x: x.flatten(1).roll(1),  # over images
        lambda x: x.repeat(2, 1, 1, 1, 1),  # of dimensions that x does not have
    ],
)
def test_what_needs_it_not_or_would_mix_images_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph = raw(Call(function))
    before = ops(graph)
    assert not spell_out_rolls(graph).changed
    assert ops(tidy(graph)) == before
