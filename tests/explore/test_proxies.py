"""Scores of untrained networks, each against a number that is worked out in sight."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attendc.explore.proxies import PROXIES, Proxy, grad_norm, naswot, scores, snip, synflow
from attendc.models.attendnext import PRESETS, AttendNeXt

LABELS = torch.tensor([0, 1])


def linear(*rows: list[float]) -> nn.Linear:
    """Return a linear layer without bias that has these weights."""
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight = nn.Parameter(torch.tensor(rows))
    return layer


def nano(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return AttendNeXt(PRESETS["attendnext_nano"])


def a_batch(images: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(images, 1, 32, 32, generator=generator), torch.arange(images) % 10


def test_naswot_is_the_logarithm_of_the_determinant_of_equal_signs() -> None:
    # Signs of the two images over four activations: + + - - and + - - -. Each agrees with itself in 4, with the
    # other in 3: det [[4, 3], [3, 4]] = 16 - 9.
    x = torch.tensor([[1.0, 2.0, -1.0, -3.0], [5.0, -1.0, -2.0, -1.0]])
    assert naswot(nn.Sequential(nn.SiLU()), x, LABELS) == pytest.approx(math.log(7), abs=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish])
def test_naswot_adds_up_all_activations(activation: Callable[[], nn.Module]) -> None:
    # The first sees + - and - +, equal in 0 of 2 places. The second sees 1 - f(x), below zero for f(2) > 1.6 and above
    # for f(-2) <= 0: equal in 0 of 2 again. K = [[4, 0], [0, 4]].
    x = torch.tensor([[2.0, -2.0], [-2.0, 2.0]])
    turned = linear([-1.0, 0.0], [0.0, -1.0])
    turned.bias = nn.Parameter(torch.ones(2))
    network = nn.Sequential(activation(), turned, activation())
    assert naswot(network, x, LABELS) == pytest.approx(math.log(16), abs=1e-5)


def test_naswot_is_low_but_a_number_for_images_that_no_activation_tells_apart() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # K = [[2, 2], [2, 2]] has the eigenvalues 4 and 0, of which the second is lifted to a millionth.
    assert naswot(nn.Sequential(nn.ReLU()), x, LABELS) == pytest.approx(math.log(4e-6), abs=1e-3)


def test_synflow_of_two_linear_layers() -> None:
    # |W2| |W1| (1, 1) = 3 * (1 + 2) + 4 * (3 + 0) = 21, and each layer's sum of w * dR/dw is R itself.
    network = nn.Sequential(linear([1.0, -2.0], [3.0, 0.0]), linear([-3.0, 4.0]))
    assert synflow(network, torch.zeros(5, 2), LABELS) == pytest.approx(42, abs=1e-9)


def test_synflow_flows_through_activations_undiminished() -> None:
    network = nn.Sequential(linear([10.0]), nn.ReLU6(), linear([-1.0]), nn.SiLU(), linear([1.0]))
    assert synflow(network, torch.zeros(1, 1), LABELS) == pytest.approx(3 * 10, abs=1e-9)


def test_synflow_takes_batch_norms_as_a_fresh_network_has_them() -> None:
    # (3 - mean 0) / sqrt(1 + eps) * 2: the layers' sums of w * dR/dw are this each, and the norm's bias of zero adds 0.
    norm = nn.BatchNorm1d(1)
    nn.init.constant_(norm.weight, -2.0)
    flow = 6 / math.sqrt(1 + 1e-5)
    assert synflow(nn.Sequential(linear([-3.0]), norm), torch.zeros(4, 1), LABELS) == pytest.approx(2 * flow, abs=1e-9)


def test_grad_norm_and_snip_of_one_linear_layer() -> None:
    # Weights (1, -1) from one number x = 2: logits (2, -2), softmax p = 1 / (1 + e^4) for the second class. For a label
    # of 0 the gradient of the logits is (-p, p), of the weights (-2p, 2p): norm 2p * sqrt(2), sum of |w g| 4p.
    x, label = torch.tensor([[2.0]]), torch.tensor([0])
    p = 1 / (1 + math.exp(4))
    assert grad_norm(linear([1.0], [-1.0]), x, label) == pytest.approx(2 * p * math.sqrt(2), rel=1e-5)
    assert snip(linear([1.0], [-1.0]), x, label) == pytest.approx(4 * p, rel=1e-5)


def test_grad_norm_adds_the_norms_of_layers() -> None:
    # Logits W2 W1 x with W1 = 3, W2 = (1, 0), x = 1 and label 1: softmax p = 1 / (1 + e^-3) for class 0, so that the
    # gradient of the logits is (p, -p), of W2 3 (p, -p) with norm 3 p sqrt(2), of W1 p.
    p = 1 / (1 + math.exp(-3))
    found = grad_norm(nn.Sequential(linear([3.0]), linear([1.0], [0.0])), torch.ones(1, 1), torch.tensor([1]))
    assert found == pytest.approx(3 * p * math.sqrt(2) + p, rel=1e-5)


@pytest.mark.parametrize("name", PROXIES)
def test_the_network_stays_as_it_was(name: str) -> None:
    network = nano().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    PROXIES[name].score(network, *a_batch())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(value.dtype == before[key].dtype for key, value in network.state_dict().items())
    assert all(w.grad is None for w in network.parameters())
    assert not any(m.training or m._forward_hooks for m in network.modules())
    assert isinstance(network.get_submodule("stages.0.0.activation"), nn.SiLU)


def test_the_same_seed_gives_the_same_scores() -> None:
    assert scores(nano(), *a_batch()) == scores(nano(), *a_batch())


def test_another_seed_gives_others_but_for_the_data_that_synflow_does_not_see() -> None:
    x, labels = a_batch()
    first, other, flipped = (
        scores(nano(), x, labels),
        scores(nano(seed=1), x, labels),
        scores(nano(), x.flip(1, 2), labels),
    )
    assert all(first[name] != other[name] for name in PROXIES)
    assert {name for name in PROXIES if first[name] == flipped[name]} == {"synflow"}


def seconds(proxy: Proxy, network: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """Return the CPU time of one score, which the first of a process has more of."""
    started = time.process_time()
    assert math.isfinite(proxy.score(network, *batch))
    return time.process_time() - started


@pytest.mark.parametrize("preset", ["attendnext_nano", "attendnext_nano_arm"])
def test_each_proxy_of_a_small_network_takes_half_a_second_at_most(preset: str) -> None:
    network, batch = AttendNeXt(PRESETS[preset]), a_batch(64)
    for proxy in PROXIES.values():
        assert min(seconds(proxy, network, batch) for _ in range(2)) < 0.5


def test_synflow_of_the_network_for_imagenet_is_a_number() -> None:
    assert math.isfinite(synflow(AttendNeXt(PRESETS["attendnext"]), torch.zeros(1, 3, 64, 64), LABELS))


def test_every_proxy_names_its_source() -> None:
    assert all(proxy.source.startswith("arXiv 2") or "1810" in proxy.source for proxy in PROXIES.values())
    assert list(PROXIES) == [proxy.name for proxy in PROXIES.values()]
