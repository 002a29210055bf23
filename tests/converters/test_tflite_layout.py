"""Networks that reorder dimensions: int8 throughout, and no TRANSPOSE but their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from layout_nets import layout_net
from nets import SMALL, STAMP, Built, Call, build, mixed, small, some
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes
from attendc.compress.qat import train_quantized
from attendc.context import Context
from attendc.converters.program import inference_module
from attendc.converters.read_tflite import inspect_tflite
from attendc.converters.tflite_layout import dequantize_for_each_reader, permutes
from attendc.converters.to_onnx import write_onnx
from attendc.converters.to_tflite import write_tflite
from attendc.data.images import Dataset
from attendc.qdq import output_params, quant_table
from attendc.runtimes import onnx_runner, tflite_runner
from attendc.train import Task, TrainOptions


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class_token", "windows"])
def test_onnx_of_it_is_within_two_steps(name: str, samples: list[Tensor], seen: Tensor, tmp_path: Path) -> None:
    one = build(layout_net(name), samples, tmp_path)
    write_onnx(tmp_path / "o", one.quantized, STAMP, layers=quant_table(one.quantized).layers)
    step = output_params(one.quantized.graph)[0]
    assert (onnx_runner(tmp_path / "o")(seen) - one.quantized(seen)).abs().max() <= 2.01 * step


@pytest.mark.slow
def test_attention_is_trained_in_int8(mini: Dataset, samples: list[Tensor], tmp_path: Path) -> None:
    one = build(layout_net("self_attention"), samples, tmp_path)
    options = TrainOptions(epochs=1, batch_size=20, lr=5e-3, weight_decay=0.0, flip=False, shift=0)
    task = Task(some(mini.train, 6), some(mini.test, 2), SMALL)
    graph, plan, _ = train_quantized(one.corrected, one.plan, task, options, Context())
    assert plan.activations.keys() == one.plan.activations.keys()
    assert plan.activations != one.plan.activations
    before, after = (
        dict(g.named_parameters())["1.module.attention.in_proj_weight"].detach() for g in (one.corrected, graph)
    )
    assert 1e-4 < float((before - after).abs().max()) < 0.5  # 3 steps of Adam at 5e-3


# How many permutes are the network's own


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (mixed(), 0),
        (small("pool_twice"), 0),
        (nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2), nn.Flatten(1)), 1),  # an image of one channel is flat
        (nn.Sequential(nn.Conv2d(1, 4, 1), Call(lambda x: x.permute(0, 3, 1, 2).sum((2, 3)))), 3),  # in, itself, out
        (nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(2), Call(lambda x: x.sum(2))), 1),  # the image before
        (nn.Sequential(Call(lambda x: (x @ x.transpose(2, 3)).flatten(1))), 1),  # one channel: only itself
    ],
)
def test_permutes_count_and_so_do_operators_bound_to_torchs_order(net: nn.Module, expected: int) -> None:
    assert permutes(capture(net, SMALL)) == expected


def test_each_reader_dequantizes_for_itself(built: Built, seen: Tensor) -> None:
    quantized = built.quantized
    target = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    before = [len(n.users) for n in call_nodes(quantized.graph, target)]
    graph = dequantize_for_each_reader(inference_module(quantized))
    after = [len(n.users) for n in call_nodes(graph.graph, target)]  # type: ignore[arg-type]
    assert max(before) > 1
    assert after == [1] * sum(before)
    assert torch.equal(graph(seen), quantized(seen))


def test_a_float_linear_layer_over_images_of_one_pixel_converts(seen: Tensor, tmp_path: Path) -> None:
    """As in the last blocks of ConvNeXt, on an image that they have made that small."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 6)
    pixel = Call(lambda x: layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    graph = capture(nn.Sequential(nn.Conv2d(1, 4, 8), pixel, nn.ReLU(), nn.Flatten(1)).eval(), SMALL)
    write_tflite(tmp_path / "x", graph, dataclasses.replace(STAMP, dtype="float32"))
    assert inspect_tflite(tmp_path / "x")["transposes"] == 0
    assert torch.allclose(tflite_runner(tmp_path / "x")(seen), graph(seen), atol=1e-5)
