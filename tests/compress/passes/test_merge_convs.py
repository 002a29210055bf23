"""Two convolutions with nothing between them as one."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw, settle
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.merge_convs import merge_convs
from attendc.exported import constant

conv2d = torch.ops.aten.conv2d.default


def row(*convs: nn.Conv2d) -> nn.Sequential:
    return settle(nn.Sequential(*convs, nn.Flatten(1)))


def fresh(*args: int, **kwargs: object) -> nn.Conv2d:
    torch.manual_seed(sum(args))
    return nn.Conv2d(*args, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("convs", "shape", "stride", "groups"),
    [
        # (1, 9 weights to 4) + (4 to 2): 36 + 8 become 18
        ((fresh(1, 4, 3, padding=1), fresh(4, 2, 1)), (2, 1, 3, 3), 1, 1),
        ((fresh(1, 4, 3, stride=2, padding=1), fresh(4, 4, 1, stride=2, groups=4)), (4, 1, 3, 3), 4, 1),
        ((fresh(1, 4, 1), fresh(4, 2, 3)), (2, 1, 3, 3), 1, 1),  # without a border
        ((fresh(1, 4, 1, bias=False), fresh(4, 2, 3, padding=1, bias=False)), (2, 1, 3, 3), 1, 1),
    ],
)
def test_they_become_one(
    convs: tuple[nn.Conv2d, ...], shape: tuple[int, ...], stride: int, groups: int, seen: Tensor
) -> None:
    net = row(*convs)
    graph = raw(net)
    assert merge_convs(graph).notes == ("merged 1 pairs of consecutive convolutions",)
    (merged,) = call_nodes(tidy(graph).graph, conv2d)
    assert tuple(constant(graph, merged.args[1]).shape) == shape
    assert merged.args[3] == [stride, stride]
    assert merged.args[6] == groups
    assert distance(graph, net, seen) < 1e-6


def test_groups_are_kept_where_both_have_them(seen: Tensor) -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = fresh(8, 8, 3, groups=4), fresh(8, 8, 1, groups=8)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.second(self.first(torch.cat([x] * 8, 1)))
            return y.flatten(1)

    net = Split()
    graph = raw(net)
    merge_convs(graph)  # 8 * 2 * 9 + 8 weights become 8 * 2 * 9
    (merged,) = call_nodes(tidy(graph).graph, conv2d)
    assert tuple(constant(graph, merged.args[1]).shape) == (8, 2, 3, 3)
    assert merged.args[6] == 4
    assert distance(graph, net, seen) < 1e-6


def test_a_row_becomes_one(seen: Tensor) -> None:
    net = row(fresh(1, 4, 3), fresh(4, 4, 1, groups=4), fresh(4, 4, 1, groups=4))
    graph = raw(net)
    assert merge_convs(graph).notes == ("merged 2 pairs of consecutive convolutions",)
    assert ops(tidy(graph)) == ["conv2d", "view"]
    assert distance(graph, net, seen) < 1e-6


@pytest.mark.parametrize(
    "convs",
    [
        (fresh(1, 4, 1), fresh(4, 2, 3, padding=1)),  # at the border, zeros are not the bias of the first
        (fresh(1, 4, 3), fresh(4, 4, 3)),
    ],
)
def test_what_would_not_be_the_same_stays(convs: tuple[nn.Conv2d, ...]) -> None:
    assert not merge_convs(raw(row(*convs))).changed


def test_a_narrow_middle_that_saves_multiplications_stays() -> None:
    bottle = (fresh(8, 1, 1), fresh(1, 8, 1))  # 8 + 8 weights; one would have 64
    assert not merge_convs(raw(nn.Sequential(fresh(1, 8, 3), nn.ReLU(), *bottle, nn.Flatten(1)))).changed


def test_a_convolution_that_something_else_reads_stays() -> None:
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return torch.flatten(y + self.second(y), 1)

    assert not merge_convs(raw(Read())).changed
