"""What channels are worth, computed by hand on networks of two layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from nets import Call, Concat, settle, tiny
from torch import Tensor, nn

from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.importance import IMPORTANCES, NEED_DATA, Importance, measure_importance
from attendc.errors import UsageError

Batch = tuple[Tensor, Tensor]


def two_layers(*, norm: bool = True) -> nn.Sequential:
    """Return a network of one pixel: two channels 3x and -x, their batch norm, two classes from them."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Flatten(1), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([3.0, -1.0]).view(2, 1, 1, 1))
        net[1].weight.copy_(torch.tensor([2.0, 0.5]))
        net[3].weight.copy_(torch.tensor([[1.0, 2.0], [-3.0, 4.0]]))
    if not norm:
        net[1] = nn.Identity()
    return net.eval()


def pixels(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def worth(net: nn.Module, kind: Importance, data: tuple[Batch, ...] = (), sample: Tensor | None = None) -> list[float]:
    """Return the importance of the first group's channels."""
    found = find_dependencies(net, pixels(0.0) if sample is None else sample)
    return measure_importance(found, kind, data)[found.groups[0].name].tolist()


# By hand. A mean over the layers, in parts of its own mean, times the two layers that lose weights with a channel


def test_l1_is_the_sum_of_sizes_of_all_weights_that_go_with_a_channel() -> None:
    first, second = 3 + 2 + (1 + 3), 1 + 0.5 + (2 + 4)  # convolution, batch norm, linear layer
    mean = (first + second) / 2
    assert worth(two_layers(), "l1") == pytest.approx([2 * first / mean, 2 * second / mean])


def test_l2_is_the_sum_of_squares() -> None:
    first, second = 9 + 4 + (1 + 9), 1 + 0.25 + (4 + 16)
    mean = (first + second) / 2
    assert worth(two_layers(), "l2") == pytest.approx([2 * first / mean, 2 * second / mean])


def test_bn_is_the_size_of_the_factor() -> None:
    assert worth(two_layers(), "bn") == pytest.approx([2 * 2 / 1.25, 2 * 0.5 / 1.25])


def test_activation_is_the_mean_size_that_the_readers_find() -> None:
    net = two_layers(norm=False)
    net[1] = nn.ReLU()  # of 3x and -x
    data = ((pixels(1.0, -2.0), torch.tensor([0, 1])), (pixels(0.0, -3.0), torch.tensor([0, 1])))
    first, second = (3 + 0 + 0 + 0) / 4, (0 + 2 + 0 + 3) / 4
    mean = (first + second) / 2
    assert worth(net, "activation", data) == pytest.approx([2 * first / mean, 2 * second / mean])


def by_gradient(x: float, target: int) -> np.ndarray:
    """Return channel times slope of the loss on it: what the loss would change if the channel were silent."""
    channels, head = np.array([3.0, -1.0]) * x, np.array([[1.0, 2.0], [-3.0, 4.0]])
    logits = head @ channels
    slope = np.exp(logits) / np.exp(logits).sum() - np.eye(2)[target]  # of the cross-entropy on the logits
    return channels * (head.T @ slope)


def test_taylor_is_the_squared_change_of_the_loss_of_each_batch() -> None:
    # Weight times gradient is that change in the layer that writes and again in the one that reads: twice, squared.
    # Over both batches at once the changes would partly cancel.
    data = ((pixels(0.25), torch.tensor([0])), (pixels(-0.25), torch.tensor([0])))
    one, other = by_gradient(0.25, 0), by_gradient(-0.25, 0)
    assert np.sign(one[1]) != np.sign(other[1])
    expected = ((2 * one) ** 2 + (2 * other) ** 2) / 2
    assert worth(two_layers(norm=False), "taylor", data) == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_change_of_a_batch_is_the_mean_over_its_images() -> None:
    data = ((pixels(0.25, 0.5), torch.tensor([0, 1])),)
    change = (by_gradient(0.25, 0) + by_gradient(0.5, 1)) / 2
    assert worth(two_layers(norm=False), "taylor", data) == pytest.approx(((2 * change) ** 2).tolist(), rel=1e-4)


# Nothing is worth nothing


def data_of(side: int) -> tuple[Batch, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple((torch.rand(8, 1, side, side, generator=generator), torch.arange(8)) for _ in range(2))


def in_columns(activation: nn.Module) -> nn.Sequential:
    """Return a network whose second convolution has two columns of two inputs."""
    torch.manual_seed(0)
    convs = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), activation, nn.Conv2d(4, 4, 3, groups=2)]
    return settle(nn.Sequential(*convs, nn.BatchNorm2d(4), nn.Flatten(1), nn.Linear(64, 10)))


@pytest.mark.parametrize("kind", IMPORTANCES)
@pytest.mark.parametrize("channel", range(4))
def test_a_channel_of_zeros_is_worth_nothing_in_its_column_and_the_others_something(
    kind: Importance, channel: int
) -> None:
    net = in_columns(nn.SiLU())
    column, place = divmod(channel, 2)
    with torch.no_grad():
        for tensor in (net[0].weight, net[0].bias, net[1].weight, net[1].bias):
            tensor[channel] = 0
        net[3].weight[2 * column : 2 * column + 2, place] = 0  # of the two outputs of its column
    scores = worth(net, kind, data_of(8), torch.zeros(1, 1, 8, 8))
    assert scores[channel] == 0
    assert min(s for c, s in enumerate(scores) if c != channel) > 0


@pytest.mark.parametrize("kind", NEED_DATA)
def test_a_channel_that_no_image_wakes_is_worth_nothing(kind: Importance) -> None:
    net = in_columns(nn.ReLU())
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([3.0, -100, 3, 3]))  # the second is never above 0, the others often
    scores = worth(net, kind, data_of(8), torch.zeros(1, 1, 8, 8))
    assert scores[1] == 0
    assert min(scores[0], *scores[2:]) > 0


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_a_group_of_zeros_is_worth_nothing_not_no_number(kind: Importance) -> None:
    net = in_columns(nn.SiLU())
    for tensor in (net[0].weight, net[0].bias, net[1].weight, net[1].bias, net[3].weight):
        nn.init.zeros_(tensor)
    assert worth(net, kind, data_of(8), torch.zeros(1, 1, 8, 8)) == [0, 0, 0, 0]


# Every kind


@pytest.fixture(scope="module")
def found() -> Dependencies:
    return find_dependencies(settle(tiny()), torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_every_channel_of_every_group_has_a_number(found: Dependencies, kind: Importance) -> None:
    before = copy.deepcopy(found.model.state_dict())
    scores = measure_importance(found, kind, data_of(16) if kind in NEED_DATA else ())
    assert {n: s.shape for n, s in scores.items()} == {g.name: (g.size,) for g in found.groups}
    for score in scores.values():
        assert score.dtype == torch.float32
        assert score.isfinite().all()
        assert score.min() >= 0
        assert not score.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in found.model.state_dict().items())


def test_the_same_images_give_the_same_numbers_again(found: Dependencies) -> None:
    for kind in NEED_DATA:
        first, again = (measure_importance(found, kind, data_of(16)) for _ in range(2))
        assert all(torch.equal(first[name], again[name]) for name in first)


def test_channels_of_a_linear_layer_come_last() -> None:
    mean = Call(lambda x: x.mean((1, 2)))
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1), Call(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(2, 3), mean, nn.Linear(3, 10)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([3.0, -1.0]).view(2, 1, 1, 1))
        net[0].bias.zero_()
    assert worth(net, "activation", data_of(8), torch.zeros(1, 1, 8, 8)) == pytest.approx([2 * 3 / 2, 2 * 1 / 2])


def test_the_channels_of_a_concatenation_are_weighed_each_by_its_own_reader() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Concat(), nn.Flatten(1), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].left.weight.zero_()
        net[1].right.weight.zero_()
        net[3].weight.copy_(torch.tensor([[0.0, 0, 1, 3], [0, 0, 0, 0]]))
    scores = measure_importance(find_dependencies(net, pixels(0.0)), "l1")
    assert scores["1.left"].tolist() == [0, 0]
    assert scores["1.right"].tolist() == [2 * 1 / 2, 2 * 3 / 2]


# What is missing


@pytest.mark.parametrize("kind", NEED_DATA)
def test_without_images_there_is_nothing_to_weigh_by(kind: Importance) -> None:
    with pytest.raises(UsageError, match=f"{kind} needs images") as e:
        worth(two_layers(), kind)
    assert "--importance l2" in (e.value.hint or "")


def test_without_batch_norms_their_factors_say_nothing() -> None:
    with pytest.raises(UsageError, match="bn finds nothing to go by in 0"):
        worth(two_layers(norm=False), "bn")
