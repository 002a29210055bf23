"""Constant factors and offsets that move into weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Call, distance, ops, raw, settle
from torch import Tensor, nn

from attendc.compress.graph import tidy
from attendc.compress.passes.decompose import decompose_activations
from attendc.compress.passes.fold_factors import fold_factors
from attendc.compress.passes.give_biases import give_biases

CHANNELS = torch.tensor([1.0, -2.0, 3.0, 0.5]).view(1, 4, 1, 1)


class Constant(nn.Module):
    """A function of the input and a constant of the network."""

    def __init__(self, value: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.value, self.function = nn.Parameter(value), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.value)


def ready(*parts: nn.Module) -> tuple[nn.Sequential, torch.fx.GraphModule]:
    """Return a network that ends flat, and its graph with numbers spelled out and biases given."""
    torch.manual_seed(0)
    net = settle(nn.Sequential(*parts, nn.Flatten(1)))
    graph = raw(net)
    decompose_activations(graph)
    give_biases(graph)
    return net, graph


def conv(inputs: int = 1, kernel: int = 1, **more: object) -> nn.Conv2d:
    torch.manual_seed(inputs)
    return nn.Conv2d(inputs, 4, kernel, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ((conv(), Call(lambda x: x * 3.0)), ["conv2d"]),  # 1
        ((conv(), Constant(CHANNELS, lambda x, c: c * x)), ["conv2d"]),
        ((conv(), Constant(CHANNELS[0], lambda x, c: x * c)), ["conv2d"]),
        ((conv(), nn.ReLU(), Call(lambda x: x * 3.0)), ["conv2d", "relu"]),  # 3
        ((conv(), nn.LeakyReLU(0.1), Constant(CHANNELS.abs(), lambda x, c: x * c)), ["conv2d", "leaky_relu"]),
        ((nn.ReLU(), Call(lambda x: x * 3.0), conv(kernel=3, padding=1)), ["relu", "conv2d"]),  # 2
        ((conv(), nn.Tanh(), Constant(CHANNELS, torch.mul), conv(4, 3, groups=2)), ["conv2d", "tanh", "conv2d"]),
        ((conv(), Constant(CHANNELS, lambda x, c: x - c)), ["conv2d"]),  # 5
        ((conv(), Call(lambda x: x + 0.5)), ["conv2d"]),
        ((conv(), nn.Tanh(), Constant(CHANNELS, torch.add), conv(4, 3)), ["conv2d", "tanh", "conv2d"]),  # 6
        ((nn.Flatten(1), nn.Linear(64, 4), Constant(CHANNELS.view(4), torch.mul)), ["view", "linear"]),
        ((nn.Flatten(1), Call(lambda x: 2 * x - 1), nn.Linear(64, 4)), ["view", "linear"]),
    ],
)
def test_the_layer_takes_it_over(parts: tuple[nn.Module, ...], left: list[str], seen: Tensor) -> None:
    net, graph = ready(*parts)
    assert fold_factors(graph).changed
    assert ops(tidy(graph))[: len(left)] == left
    assert ops(graph)[len(left) :] in (["view"], [])
    assert distance(graph, net, seen) < 1e-5


class SoftmaxGate(nn.Module):
    """softmax(a(x)) * C * v(x): over channels, with the mean that v(x) has."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.values = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.attention(x), 1) * 4.0 * torch.relu(self.values(x))


def test_the_factor_of_a_softmax_gate_goes_to_what_it_weighs(seen: Tensor) -> None:
    net, graph = ready(conv(), SoftmaxGate())
    before = graph.get_parameter("1.values.weight").detach().clone()
    assert fold_factors(graph).notes == ("folded 1 constant factors into layers",)
    assert ops(tidy(graph)) == ["conv2d", "conv2d", "softmax", "conv2d", "relu", "mul", "view"]
    assert torch.equal(graph.get_parameter("1.values.weight"), 4 * before)
    assert distance(graph, net, seen) < 1e-5


@pytest.mark.parametrize(
    "parts",
    [
        (conv(), nn.ReLU(), Call(lambda x: x * -3.0)),  # relu(-3 y) is not -3 relu(y)
        (conv(), nn.Sigmoid(), Call(lambda x: x * 3.0)),
        (conv(), nn.Hardtanh(0, 6), Call(lambda x: x * 3.0)),  # clips at 6, not at 18
        (conv(), Constant(torch.rand(1, 1, 8, 8), torch.mul)),  # a factor for each pixel
        (nn.Tanh(), Call(lambda x: x + 0.5), conv(kernel=3, padding=1)),  # the border has no offset
        (Call(lambda x: (y := torch.tanh(x) * 3.0) + torch.sigmoid(y)),),
        (conv(), nn.Tanh(), Call(lambda x: x.mean((2, 3))), Constant(CHANNELS[0], lambda x, c: x[..., None, None] * c)),
    ],
)
def test_what_is_no_factor_of_a_layer_stays(parts: tuple[nn.Module, ...], seen: Tensor) -> None:
    net, graph = ready(*parts)
    before = ops(graph)
    assert not fold_factors(graph).changed
    assert ops(graph) == before
    assert distance(tidy(graph), net, seen) < 1e-5


def test_a_layer_that_something_else_reads_keeps_its_weights(seen: Tensor) -> None:
    net, graph = ready(conv(), Call(lambda y: y * 3.0 + torch.sigmoid(y)))
    assert not fold_factors(graph).changed
    assert distance(tidy(graph), net, seen) < 1e-5
