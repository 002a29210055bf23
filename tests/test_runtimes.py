"""Every runner takes float images and returns float logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import Built
from torch import Tensor

from attendc.errors import CheckpointError
from attendc.qdq import output_params
from attendc.runtimes import (
    Runner,
    dequantize_like,
    onnx_runner,
    quantize_like,
    tflite_runner,
    torch_runner,
    torchscript_runner,
)

LOADERS: dict[str, Callable[[Path], Runner]] = {
    "tflite": tflite_runner,
    "onnx": onnx_runner,
    "torchscript": torchscript_runner,
}


@pytest.mark.parametrize("name", ["tflite_float32", "onnx_float32", "torchscript_float32"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_float_file_computes_what_the_network_computes(
    name: str, count: int, files: dict[str, Path], built: Built, seen: Tensor
) -> None:
    y = LOADERS[name.split("_")[0]](files[name])(seen[:count])
    assert (y.dtype, tuple(y.shape)) == (torch.float32, (count, 10))
    assert torch.allclose(y, built.net(seen[:count]), atol=1e-4)


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_an_int8_file_is_within_two_steps_of_its_graph(
    name: str, files: dict[str, Path], built: Built, seen: Tensor
) -> None:
    step = output_params(built.quantized.graph)[0]
    assert (LOADERS[name](files[name])(seen) - built.quantized(seen)).abs().max() <= 2.01 * step


def test_a_graph_takes_images_of_one_channel_as_they_are_read(seen: Tensor) -> None:
    strided = seen.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Flatten(1))
    program = torch.export.export(net, (torch.zeros(60, 1, 8, 8),)).run_decompositions({})
    assert torch.equal(torch_runner(program.module())(strided), net(seen))


def test_gradients_are_not_kept(built: Built, seen: Tensor) -> None:
    assert not torch_runner(built.net)(seen[:1]).requires_grad


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100])
def test_a_file_that_is_none_is_named(kind: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"/x"):
        LOADERS[kind](tmp_path / "x")


def details(dtype: type, scale: float = 0.5, zero_point: int = 3) -> dict[str, Any]:
    return {"dtype": dtype, "quantization": (scale, zero_point)}


def test_quantizing_rounds_half_to_even_and_clips() -> None:
    x = torch.tensor([0.0, 0.25, 0.75, -0.25, 1000.0, -1000.0])  # 0, 0.5, 1.5, -0.5 steps: 0, 0, 2, 0
    assert quantize_like(x, details(np.int8)).tolist() == [3, 3, 5, 3, 127, -128]
    assert quantize_like(x, details(np.uint8)).tolist() == [3, 3, 5, 3, 255, 0]


def test_dequantizing_is_scale_times_distance_from_zero_point() -> None:
    assert dequantize_like(np.array([3, 5, -1], np.int8), details(np.int8)).tolist() == [0.0, 1.0, -2.0]


def test_real_numbers_are_passed_on() -> None:
    x = torch.tensor([0.1, 0.2])
    assert quantize_like(x, details(np.float32)) is not None
    assert torch.equal(dequantize_like(x.numpy(), details(np.float32)), x)
