"""What reorders dimensions and still cannot be int8 is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import SMALL, Call
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, scaled_dot_product_attention

from attendc.compress.capture import capture
from attendc.compress.tensors import unsupported


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x[:, :, :1].expand(-1, -1, 65, -1).flatten(1), "it copies a part of an image more than 64 times"),
        (lambda x: torch.softmax(x[:, :, :, :1], -1).flatten(1), "a softmax over one number, which is always 1"),
        (lambda x: x.roll(1).flatten(1), "it rolls over all numbers or over the batch; name other dimensions"),
        (
            lambda x: scaled_dot_product_attention(x.expand(-1, 2, -1, -1), x, x, enable_gqa=True).flatten(1),
            "its heads share keys and values (enable_gqa); repeat them in the network",
        ),
        (
            lambda x: conv_transpose2d(x, x[:1, :, :2, :2], stride=2).flatten(1),
            "its weight must be a constant, not computed from the input",
        ),
    ],
)
def test_each_refusal_has_its_reason(function: Callable[[Tensor], Tensor], reason: str) -> None:
    graph = capture(nn.Sequential(nn.Conv2d(1, 1, 1), Call(function)), SMALL)
    assert [u.reason for u in unsupported(graph.graph)] == [reason]
