"""Layers as numbers: measured once, then shrunk without touching a tensor, and right all the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from nets import Concat, mixed, tiny
from torch import Tensor, nn

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.groups import ChannelGroup, Member
from attendc.compress.pruning.shapes import LayerShape, measure_shapes, shrunk
from attendc.models.surgery import remove_block

IMAGE = torch.zeros(1, 1, 8, 8)


def measured(net: nn.Module, x: Tensor = IMAGE) -> dict[str, LayerShape]:
    return measure_shapes(net.eval(), (), x)


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        # 8x8 with stride 2 and padding 1 leaves 4x4 pixels; a bias is one more number an output
        (nn.Conv2d(1, 6, 3, 2, 1), IMAGE, LayerShape("conv", 6, 1, 1, kernel=9, positions=16, params=1)),
        (nn.Conv2d(1, 6, (3, 1), bias=False), IMAGE, LayerShape("conv", 6, 1, 1, kernel=3, positions=48)),
        (nn.Conv2d(4, 6, 1, groups=2), torch.zeros(1, 4, 2, 2), LayerShape("conv", 6, 4, 2, 1, 4, 1)),
        (nn.Conv2d(4, 4, 3, groups=4), torch.zeros(1, 4, 5, 5), LayerShape("conv", 4, 4, 4, 9, 9, 1)),
        (nn.Linear(4, 3), torch.zeros(1, 4), LayerShape("linear", 3, 4, params=1)),
        (nn.Linear(4, 3, bias=False), torch.zeros(1, 4), LayerShape("linear", 3, 4)),
        (nn.BatchNorm2d(4), torch.zeros(1, 4, 2, 2), LayerShape("norm", 4, 4, positions=4, params=2)),
        (nn.BatchNorm2d(4, affine=False), torch.zeros(1, 4, 2, 2), LayerShape("norm", 4, 4, positions=4)),
        (nn.GroupNorm(2, 4), torch.zeros(1, 4, 2, 2), LayerShape("norm", 4, 4, 2, positions=4, params=2)),
        (nn.PReLU(4), torch.zeros(1, 4, 2, 2), LayerShape("norm", 4, 4, positions=4, params=1)),
    ],
)
def test_a_layer_as_numbers(layer: nn.Module, given: Tensor, expected: LayerShape) -> None:
    assert measured(nn.Sequential(layer), given) == {"0": expected}


def test_a_linear_layer_is_applied_at_every_pixel_that_comes_before_its_channels() -> None:
    assert measured(nn.Sequential(nn.Linear(4, 3)), torch.zeros(1, 5, 7, 4))["0"].positions == 35


def test_a_layer_that_is_used_twice_computes_twice() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1)
    shapes = measured(nn.Sequential(conv, nn.ReLU(), conv))
    assert shapes == {"0": LayerShape("conv", 1, 1, 1, kernel=9, positions=128, params=1)}


def test_what_has_no_channels_has_no_shape() -> None:
    assert measured(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(1))) == {}


def test_a_layer_that_is_never_used_costs_nothing() -> None:
    net = nn.Sequential(nn.Flatten(1), nn.Linear(64, 10))
    net[1].spare = nn.Linear(64, 10)
    assert list(measured(net)) == ["1"]


@pytest.mark.parametrize(
    ("shape", "weights"),
    [
        (LayerShape("conv", 8, 6, 2, kernel=9), 216),  # 8 outputs of 6 / 2 inputs of 3x3
        (LayerShape("conv", 8, 8, 8, kernel=9), 72),
        (LayerShape("linear", 10, 8), 80),
        (LayerShape("pool", 8, 8, 8, kernel=4), 32),  # as the depthwise convolution that it becomes
        (LayerShape("norm", 8, 8, params=2), 0),
    ],
)
def test_weights_are_those_of_the_kernel(shape: LayerShape, weights: int) -> None:
    assert shape.weights == weights


def test_average_pools_come_with_the_groups_that_pass_them() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.AvgPool2d(2), nn.Conv2d(4, 2, 1), nn.Flatten(1), nn.Linear(32, 10))
    found = find_dependencies(net, IMAGE)
    shapes = measure_shapes(net, found.groups, IMAGE)
    (name,) = (n for n, s in shapes.items() if s.kind == "pool")
    assert shapes[name] == LayerShape("pool", 4, 4, 4, kernel=4)
    assert shrunk(shapes, found.groups, {"0": 3})[name] == LayerShape("pool", 3, 3, 3, kernel=4)


# Shrinking


def test_only_the_sides_that_share_the_channels_shrink() -> None:
    shapes = {
        "a": LayerShape("conv", 8, 3, kernel=9),
        "dw": LayerShape("conv", 8, 8, 8, kernel=9),
        "bn": LayerShape("norm", 8, 8, params=2),
        "b": LayerShape("conv", 6, 8, 2, kernel=9),
        "flat": LayerShape("linear", 10, 32),
    }
    every, four = tuple(range(8)), tuple(r for r in range(8) for _ in range(4))
    members = (
        Member("a", "out", every, every),
        Member("dw", "both", every, every),
        Member("bn", "both", every, every),
        Member("b", "in", every, every),
        Member("flat", "in", tuple(range(32)), four),
    )
    after = shrunk(shapes, [ChannelGroup("a", 8, 2, members)], {"a": 6})
    assert {name: (s.outputs, s.inputs, s.groups) for name, s in after.items()} == {
        "a": (6, 3, 1),
        "dw": (6, 6, 6),
        "bn": (6, 6, 1),
        "b": (6, 6, 2),
        "flat": (10, 24, 1),
    }
    assert shapes["a"].outputs == 8


def test_groups_without_a_count_stay_and_blocks_go_with_all_their_layers() -> None:
    shapes = {name: LayerShape("conv", 4, 4) for name in ("block.a", "block.b", "block2.a", "a")}
    group = ChannelGroup("block.a", 4, 1, (Member("block.a", "out", (0, 1, 2, 3), (0, 1, 2, 3)),))
    assert shrunk(shapes, [group], {}) == shapes
    assert list(shrunk(shapes, [group], {"block.a": 2}, ["block"])) == ["block2.a", "a"]


NETS: dict[str, Callable[[], nn.Module]] = {
    "AttendNeXt": tiny,
    "mixed": mixed,
    "concatenation": lambda: nn.Sequential(nn.Conv2d(1, 4, 1), Concat(), nn.Flatten(1), nn.Linear(256, 10)),
}


@pytest.mark.parametrize("name", NETS)
def test_shrunk_numbers_are_those_of_the_network_that_was_pruned(name: str) -> None:
    net = NETS[name]().eval()
    found = find_dependencies(net, IMAGE)
    whole = measure_shapes(net, found.groups, IMAGE)
    for group in found.groups:
        pruned = copy.deepcopy(net)
        kept = [c for c in range(group.size) if c % (group.size // group.columns)]
        remove_channels(pruned, group, kept, IMAGE)
        expected = {**whole, **measured(pruned)}
        told = shrunk(whole, found.groups, {group.name: len(kept)})
        assert {n: s for n, s in told.items() if s.kind != "pool"} == {
            n: s for n, s in expected.items() if s.kind != "pool"
        }


def test_numbers_without_a_block_are_those_of_the_network_without_it() -> None:
    net = tiny().eval()
    whole = measured(net)
    remove_block(net, "stages.2.1")
    assert shrunk(whole, (), {}, ["stages.2.1"]) == measured(net)
