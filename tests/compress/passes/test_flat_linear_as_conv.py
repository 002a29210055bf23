"""Linear layers over a flattened image as convolutions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.graph import tidy
from attendc.compress.passes.flat_linear_as_conv import flat_linear_as_conv
from attendc.converters.read_tflite import inspect_tflite
from attendc.converters.to_tflite import write_tflite
from attendc.types import Preprocess, Stamp


def lenet_head(*, pool: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    size = 1 if pool else 8 * 8
    parts = [nn.Conv2d(1, 3, 1), nn.AdaptiveAvgPool2d(1) if pool else nn.ReLU(), nn.Flatten(1), nn.Linear(3 * size, 5)]
    return nn.Sequential(*parts).eval()


def test_the_layer_becomes_a_convolution_that_computes_the_same(seen: Tensor) -> None:
    net = lenet_head()
    graph = raw(net)
    assert flat_linear_as_conv(graph).notes == ("1 linear layers over an image became convolutions",)
    assert ops(tidy(graph)) == ["conv2d", "relu", "conv2d", "reshape"]
    assert distance(graph, net, seen) < 1e-5


def test_a_layer_behind_a_global_pool_stays_linear() -> None:
    assert not flat_linear_as_conv(raw(lenet_head(pool=True))).changed


@pytest.mark.slow
def test_the_tflite_file_then_needs_no_transpose(tmp_path: Path) -> None:
    how = Preprocess(8, 8, 1, (0.0,), (1.0,))
    write_tflite(tmp_path / "net.tflite", capture(lenet_head(), how), Stamp("0", "0" * 64, (), how, "", "float32"))
    assert inspect_tflite(tmp_path / "net.tflite")["transposes"] == 0
