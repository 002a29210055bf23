"""What layers cost, by hand and as the finished networks are counted."""

from __future__ import annotations

import copy
from collections.abc import Callable

import foreign
import pytest
import torch
from nets import mixed, small, tiny
from torch import nn

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.cost import BYTES_CHANNEL, BYTES_LAYER, COSTS, TILE, int8_bytes, macs, params
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.shapes import LayerShape, Shapes, measure_shapes, shrunk
from attendc.metrics import count_macs, count_params
from attendc.models.attendnext import PRESETS, AttendNeXt
from attendc.models.surgery import remove_block

BY_HAND: Shapes = {
    "conv": LayerShape("conv", 8, 4, 2, kernel=9, positions=64, params=1),  # 8 x 2 x 9 = 144 weights and 8 biases
    "norm": LayerShape("norm", 8, 8, positions=64, params=2),  # 8 gains and 8 offsets
    "pool": LayerShape("pool", 8, 8, 8, kernel=4, positions=16),  # 8 x 4 = 32 weights in int8 only
    "head": LayerShape("linear", 10, 8, params=1),  # 80 weights and 10 biases
}


def test_by_hand() -> None:
    assert macs(BY_HAND) == 144 * 64 + 80
    assert params(BY_HAND) == (144 + 8) + 16 + (80 + 10)
    channels, weights, layers = 8 + 8 + 10, 144 + 32 + 80, 3
    assert int8_bytes(BY_HAND) == weights + channels * BYTES_CHANNEL + layers * BYTES_LAYER
    assert BYTES_CHANNEL == 4 + 2 * (4 + 8)  # a bias, and scale and zero point of weights and bias


def test_budgets_can_be_given_in_each_of_these_units() -> None:
    assert list(COSTS) == ["macs", "params", "bytes"]
    assert [cost(BY_HAND) for cost in COSTS.values()] == [macs(BY_HAND), params(BY_HAND), int8_bytes(BY_HAND)]
    assert TILE == 16


SMALL, LARGE = (1, 8, 8), (3, 64, 64)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "AttendNeXt": (tiny, SMALL),
    "AttendNeXt nano": (lambda: AttendNeXt(PRESETS["attendnext_nano"]), (1, 32, 32)),
    "mixed": (mixed, SMALL),
    "depthwise": (lambda: small("depthwise"), SMALL),
    "gate": (lambda: small("sigmoid_gate"), SMALL),
    "MobileNetV3": (foreign.mobilenetv3_small, LARGE),
    "ResNet-18": (foreign.resnet18, LARGE),
}
SLOW = ("AttendNeXt nano", "MobileNetV3", "ResNet-18")
CASES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NETS]


@pytest.mark.parametrize("name", CASES)
def test_macs_and_parameters_are_those_that_are_counted_before_and_after_pruning(name: str) -> None:
    factory, shape = NETS[name]
    net, image = factory().eval(), torch.zeros(1, *shape)
    found = find_dependencies(net, image)
    whole = measure_shapes(net, found.groups, image)
    assert (macs(whole), params(whole)) == (count_macs(net, shape), count_params(net))
    counts = {}
    for group in found.groups:
        kept = [c for c in range(group.size) if c % (group.size // group.columns)]
        remove_channels(net, group, kept, image)
        counts[group.name] = len(kept)
    told = shrunk(whole, found.groups, counts)
    assert (macs(told), params(told)) == (count_macs(net, shape), count_params(net))
    assert macs(told) < macs(whole)


def test_the_same_without_blocks() -> None:
    net, image = tiny().eval(), torch.zeros(1, *SMALL)
    found = find_dependencies(net, image)
    whole = measure_shapes(net, found.groups, image)
    for block in found.blocks:
        remove_block(net, block.name)
    told = shrunk(whole, found.groups, {}, [b.name for b in found.blocks])
    assert (macs(told), params(told)) == (count_macs(net, SMALL), count_params(net))


def test_a_layer_at_every_pixel_and_one_used_twice_are_counted_so() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.mix, self.head = nn.Conv2d(1, 4, 1), nn.Linear(4, 4), nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pixels = self.stem(x).permute(0, 2, 3, 1)
            return self.head(self.mix(self.mix(pixels)).mean((1, 2)))

    net, image = Mixer(), torch.zeros(1, *SMALL)
    shapes = measure_shapes(copy.deepcopy(net), (), image)
    assert macs(shapes) == count_macs(net, SMALL) == 64 * 4 + 2 * 64 * 16 + 40
    assert params(shapes) == count_params(net)
