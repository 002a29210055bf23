"""A ReLU behind a max pool moves before it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import Call, build, distance, ops, raw, settle
from torch import Tensor, nn
from torch.nn import functional

from attendc.compress.graph import tidy
from attendc.compress.passes.relu_before_pool import relu_before_pool
from attendc.converters.read_tflite import inspect_tflite
from attendc.converters.to_tflite import write_tflite
from attendc.types import Preprocess, Stamp


def tutorial_net(clip: nn.Module) -> nn.Sequential:
    """Return what torch's own MNIST example does: relu(max_pool2d(conv(x)))."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), clip, nn.AdaptiveAvgPool2d(1), nn.Flatten(1)]
    return nn.Sequential(*parts, nn.Linear(4, 10)).eval()


@pytest.mark.parametrize(("clip", "name"), [(nn.ReLU(), "relu"), (nn.ReLU6(), "hardtanh")])
def test_the_order_changes_and_nothing_else(clip: nn.Module, name: str, seen: Tensor) -> None:
    net = tutorial_net(clip)
    graph = raw(net)
    assert relu_before_pool(graph).notes == ("put 1 ReLUs before their max pool",)
    assert ops(tidy(graph))[:3] == ["conv2d", name, "max_pool2d"]
    assert distance(graph, net, seen) == 0


def test_a_pool_that_something_else_reads_stays() -> None:
    both = Call(lambda x: functional.relu(p := functional.max_pool2d(x, 2)) + p)
    assert not relu_before_pool(raw(nn.Sequential(nn.Conv2d(1, 2, 1), both, nn.Flatten(1)))).changed


@pytest.mark.slow
def test_such_a_network_becomes_int8_throughout(samples: list[Tensor], tmp_path: Path) -> None:
    one = build(settle(tutorial_net(nn.ReLU())), samples, tmp_path)
    how = Preprocess(8, 8, 1, (0.0,), (1.0,))
    write_tflite(tmp_path / "net.tflite", one.quantized, Stamp("0", "0" * 64, (), how))
    facts = inspect_tflite(tmp_path / "net.tflite")
    assert (facts["float_ops"], facts["transposes"], facts["ops"].get("RELU", 0)) == (0, 0, 0)
