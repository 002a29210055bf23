"""PReLU and ELU spelled out."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.rectifiers import spell_out_rectifiers


def prelu(*slopes: float) -> nn.PReLU:
    part = nn.PReLU(len(slopes))
    part.weight.data = torch.tensor(slopes)
    return part


@pytest.mark.parametrize(
    ("part", "after"),
    [
        (prelu(0.2), ["leaky_relu"]),
        (prelu(0.2, 0.2, 0.2), ["leaky_relu"]),
        (prelu(0.1, -1.0, 1.0), ["mul", "maximum"]),
        (prelu(0.1, -1.0, 1.5), ["relu", "sub", "mul", "add"]),
        (nn.ELU(), ["relu", "sub", "exp", "add", "add"]),
        (nn.ELU(0.5), ["relu", "sub", "exp", "mul", "add", "add"]),
        (nn.CELU(0.5), ["relu", "sub", "mul", "exp", "mul", "add", "add"]),
        (nn.SELU(), ["relu", "sub", "exp", "mul", "add", "mul", "add"]),
    ],
)
def test_it_is_spelled_out_and_computes_the_same(part: nn.Module, after: list[str], seen: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 1), part, nn.Flatten(1)).eval()
    graph = raw(net)
    spell_out_rectifiers(graph)
    assert ops(tidy(graph)) == ["conv2d", *after, "view"]
    assert float(net[0](seen).detach().min()) < -0.5  # the negative half is looked at
    assert distance(graph, net, seen) < 1e-6
