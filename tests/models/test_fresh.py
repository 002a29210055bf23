"""A network without a checkpoint: the same weights for the same seed, and numbers that neither grow nor fade."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nets import TINY
from torch import nn

from attendc.errors import CheckpointError
from attendc.models.fresh import fresh_network
from attendc.models.registry import resolve
from attendc.types import Architecture

ONE_NORM = Architecture("nets:one_norm")


def fresh(seed: int = 0, **changed: Any) -> nn.Module:
    """Return the tiny AttendNeXt, deeper than usual."""
    arguments = {**TINY, "depths": [2, 3, 4, 2], **changed}
    return fresh_network(Architecture("attendnext", arguments), (1, 16, 16), seed=seed)


def test_the_seed_decides_every_weight_and_nothing_else_does() -> None:
    torch.manual_seed(7)
    first = fresh().state_dict()
    torch.manual_seed(8)
    assert all(torch.equal(first[name], value) for name, value in fresh().state_dict().items())
    assert not torch.equal(first["head.weight"], fresh(seed=1).state_dict()["head.weight"])


def test_the_random_numbers_of_the_process_stay_as_they_are() -> None:
    torch.manual_seed(7)
    due = torch.rand(3)
    torch.manual_seed(7)
    fresh()
    assert torch.equal(torch.rand(3), due)


def test_every_norm_gives_numbers_about_one_so_that_logits_differ_from_image_to_image() -> None:
    network = fresh()
    seen: list[float] = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _, __, y: seen.append(float(y.std())))
    with torch.no_grad():
        logits = network(torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(3)))
    assert len(seen) > 20
    assert all(0.5 < one < 4 for one in seen)  # untouched, with mean 0 and variance 1, they fall below 0.01
    assert float(logits.std(0).mean()) > 0.1
    assert not network.training


def test_a_norm_that_starts_at_zero_gets_ones() -> None:
    norm = fresh_network(Architecture("nets:one_norm", {"weight": 0.0}), (1, 8, 8), seed=0)[1]  # type: ignore[index]
    assert torch.equal(norm.weight, torch.ones(4))


def test_a_norm_that_was_used_keeps_what_it_has() -> None:
    norm = fresh_network(Architecture("nets:one_norm", {"mean": 0.25}), (1, 8, 8), seed=0)[1]  # type: ignore[index]
    assert torch.equal(norm.running_mean, torch.full((4,), 0.25))
    assert norm.momentum == 0.1


def test_an_input_that_it_does_not_take_is_told_with_its_shape() -> None:
    with pytest.raises(CheckpointError, match=r"does not run on \(4, 3, 8, 8\): RuntimeError.*--input-shape CxHxW"):
        fresh_network(ONE_NORM, (3, 8, 8), seed=0)


def test_a_preset_of_other_classes_has_as_many_outputs() -> None:
    network = fresh_network(resolve("attendnext_nano", {}, classes=7), (1, 32, 32), seed=0)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
