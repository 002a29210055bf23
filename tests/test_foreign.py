"""The networks from elsewhere that other tests rely on."""

from __future__ import annotations

import sys

import foreign
import pytest
import torch
from torch import nn

from attendc.models.registry import build
from attendc.types import Architecture

BLOCKS = {"resnet18": nn.MaxPool2d, "mobilenetv3_small": nn.Hardswish}


@pytest.mark.parametrize("name", BLOCKS)
def test_each_takes_an_image_and_is_the_same_every_time(name: str) -> None:
    architecture = Architecture(f"foreign:{name}", {"classes": 7})
    first, again = (build(architecture, allow_foreign=True) for _ in range(2))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = first(x)
        assert torch.equal(y, again(x))
    assert y.shape == (1, 7)
    assert y.isfinite().all()
    assert y.std() > 0
    assert not first.training
    assert any(isinstance(m, BLOCKS[name]) for m in first.modules())


def test_one_channel_will_do() -> None:
    with torch.no_grad():
        assert foreign.mobilenetv3_small(10, in_channels=1)(torch.zeros(1, 1, 64, 64)).shape == (1, 10)


def test_no_stand_in_for_torchvision_stays() -> None:
    before = sys.modules.get("torchvision")
    with foreign.without_torchvision():
        import torchvision.transforms

        assert isinstance(torchvision.transforms, foreign.Anything)
        assert isinstance(torchvision.transforms.ToTensor, type)
    assert sys.modules.get("torchvision") is before
    assert ("torchvision.transforms" in sys.modules) == (before is not None)
