"""Masks of attention are as low as int8 needs them, and no lower."""

from __future__ import annotations

import pytest
import torch
from nets import Call, distance, raw
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attendc.compress.graph import tidy
from attendc.compress.passes.attention import spell_out_attention
from attendc.compress.passes.attention_masks import bound_masks
from attendc.compress.passes.fold_constants import fold_constants

CAUSAL = torch.full((8, 8), -torch.inf).triu(1)
WINDOWS = torch.full((8, 8), -100.0).triu(4) + torch.linspace(-2, 2, 64).view(8, 8)


@pytest.mark.parametrize("mask", [CAUSAL, WINDOWS])
def test_a_mask_is_bounded_and_attention_stays(mask: Tensor, seen: Tensor) -> None:
    net = Call(lambda x: scaled_dot_product_attention(x, x, x, attn_mask=mask))
    graph = raw(net)
    fold_constants(graph)
    spell_out_attention(graph)
    assert bound_masks(graph).notes == ("1 masks of attention go no lower than -16",)
    bounded = next(b for b in tidy(graph).buffers() if b.ndim == 2)
    assert torch.equal(bounded, mask.clamp(min=-16))
    assert distance(graph, net, seen) < 1e-5  # exp(-16) = 1e-7 of each masked value


def test_a_mask_is_found_behind_reshapes_and_sums(seen: Tensor) -> None:
    net = Call(lambda x: torch.softmax((x + WINDOWS.view(1, 1, 8, 8)).reshape(-1, 8, 8) + CAUSAL, -1))
    graph = raw(net)
    fold_constants(graph)
    assert bound_masks(graph).notes == ("2 masks of attention go no lower than -16",)
    assert distance(tidy(graph), net, seen) < 1e-5


def test_other_constants_are_left_alone() -> None:
    graph = raw(Call(lambda x: torch.softmax((x + CAUSAL.clamp(min=-9)) * WINDOWS, -1) + WINDOWS))
    fold_constants(graph)
    assert not bound_masks(graph).changed
