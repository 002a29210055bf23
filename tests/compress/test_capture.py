"""From a module to the float graph."""

from __future__ import annotations

import copy

import pytest
import torch
from nets import PREPROCESS, SMALL, distance, mixed, small, tiny
from torch import Tensor, nn

from attendc.compress.capture import capture, probe
from attendc.errors import CheckpointError
from attendc.types import Preprocess


def test_the_graph_computes_what_the_network_computes() -> None:
    assert distance(capture(tiny(), PREPROCESS), tiny().eval(), probe(PREPROCESS, 5)) < 1e-5


def test_the_network_is_left_as_it_is() -> None:
    net = mixed().train()
    before = copy.deepcopy(net.state_dict())
    capture(net, SMALL)
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_network_in_channels_last_gives_the_same_graph(seen: Tensor) -> None:
    net = mixed().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert distance(capture(net, SMALL), mixed(), seen) < 1e-5


def test_a_probe_has_the_shape_of_the_input_and_is_always_the_same() -> None:
    wide = Preprocess(8, 12, 3, (0.5,) * 3, (0.5,) * 3)
    assert tuple(probe(wide, 5).shape) == (5, 3, 8, 12)
    assert torch.equal(probe(wide), probe(wide))


def test_a_flat_head_takes_images_of_one_channel_as_they_are_read(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(1), nn.Linear(72, 10)).eval()
    strided = seen.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert distance(capture(net, SMALL), net, strided) < 1e-5


def test_an_input_that_does_not_fit_is_named() -> None:
    text = r"does not take an input of shape \(2, 1, 8, 8\): .*Check the channels and the size of its input: --input-"
    with pytest.raises(CheckpointError, match=text):
        capture(nn.Conv2d(3, 4, 1), SMALL)


@pytest.mark.parametrize(
    ("net", "found"),
    [(nn.Conv2d(1, 4, 1), r"\(2, 4, 8, 8\)"), (nn.Sequential(nn.Flatten(1), nn.LSTM(64, 2)), "tuple")],
)
def test_what_is_no_classifier_is_refused(net: nn.Module, found: str) -> None:
    with pytest.raises(CheckpointError, match=f"the network returns {found}. A classifier must return logits"):
        capture(net, SMALL)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)


def test_a_network_that_branches_on_values_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"torch.export cannot trace the network: .*must not branch on values"):
        capture(Branches(), SMALL)


def test_passes_have_run() -> None:
    names = [n.name for n in capture(small("conv_bn_relu"), SMALL).graph.nodes]
    assert not [n for n in names if "norm" in n]
