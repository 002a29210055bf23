"""Wide rows and joined columns: other shapes of weights, the same answers bit for bit, fewer products to compute."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arm.one_op import Op, T, bias_of, conv, weight, write_ops
from nets import SMALL, STAMP, Built, build, settle
from torch import Tensor, nn

from attendc.converters.read_tflite import tflite_quant_table
from attendc.converters.tflite_columns import join_columns
from attendc.converters.tflite_rows import read_wide_rows
from attendc.converters.tflite_schema import constant, op_name, read_model, write_model
from attendc.converters.to_tflite import convert_graph, write_tflite
from attendc.qdq import quant_table
from attendc.read_back import unequal_layers, unequal_scales
from attendc.runtimes import tflite_runner
from attendc.same_layer import is_widened
from attendc.types import Layer

slow = pytest.mark.slow  # a network is calibrated and converted
BEFORE, AFTER = "before", "after"


class Stems(nn.Module):
    """1x8x8 read by strided convolutions in every way that matters, each to 2x2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.gray_patch = nn.Conv2d(1, 8, 4, 4)
        self.colours = nn.Conv2d(1, 3, 1)
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.overlapping = nn.Conv2d(3, 16, 3, 2, 1)
        self.columns_of_4 = nn.Conv2d(16, 16, 3, 1, 1, groups=4)
        self.columns_of_8 = nn.Conv2d(16, 16, 3, 1, 1, groups=2)
        self.many_channels = nn.Conv2d(16, 8, 3, 2, 1)
        self.wide_kernel = nn.Conv2d(3, 8, 7, 4, 3)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        image = torch.relu(self.colours(x))
        deep = torch.relu(self.columns_of_8(torch.relu(self.columns_of_4(torch.relu(self.overlapping(image))))))
        ends = [self.gray_patch(x), self.patch(image), self.many_channels(deep), self.wide_kernel(image)]
        y: Tensor = self.head(torch.cat(ends, 1).mean((2, 3)))
        return y


WEIGHTS = {
    "gray_patch": ((1, 4, 4, 8), (8, 4, 1, 4)),  # LiteRT calls a convolution of one channel depthwise: (1, H, W, O)
    "patch": ((8, 4, 4, 3), (8, 4, 1, 12)),
    "overlapping": ((16, 3, 3, 3), (16, 3, 2, 6)),  # columns 0 1 2 of a kernel as 0|1, 2|: a column of zeros in front
    "columns_of_4": ((16, 3, 3, 4), (16, 3, 3, 8)),
    "columns_of_8": ((16, 3, 3, 8), (16, 3, 3, 8)),
    "many_channels": ((8, 3, 3, 16), (8, 3, 3, 16)),  # 9 taps of 16 channels are less than 6 of 32
    "wide_kernel": ((8, 7, 7, 3), (8, 7, 2, 12)),  # 3 of padding are a block of 4: 1 + 7 columns
}
"""Shapes in the file (O, H, W, I) before and after."""


@pytest.fixture(scope="module")
def stems(samples: list[Tensor], tmp_path_factory: pytest.TempPathFactory) -> Built:
    torch.manual_seed(0)
    return build(settle(Stems()), samples[:8], tmp_path_factory.mktemp("stems"))


@pytest.fixture(scope="module")
def files(stems: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Return (dtype, before or after) -> file."""
    folder, made = tmp_path_factory.mktemp("files"), {}
    for dtype, graph in (("int8", stems.quantized), ("float32", stems.floating)):
        converted = convert_graph(graph, SMALL, quantized=dtype == "int8")
        made[dtype, BEFORE], made[dtype, AFTER] = (folder / f"{dtype}-{when}.tflite" for when in (BEFORE, AFTER))
        made[dtype, BEFORE].write_bytes(converted)
        stamp = dataclasses.replace(STAMP, dtype=dtype)
        write_tflite(made[dtype, AFTER], graph, stamp, converted=converted)
    return made


def layers(model: Any) -> list[Any]:
    return [o for o in model.subgraphs[0].operators if op_name(model, o) in ("CONV_2D", "DEPTHWISE_CONV_2D")]


def weight_shapes(path: Path) -> list[tuple[int, ...]]:
    model = read_model(path)
    tensors = model.subgraphs[0].tensors
    return sorted(tuple(int(s) for s in tensors[o.inputs[1]].shape) for o in layers(model))


@slow
@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_the_int8_answers_are_the_same_bit_for_bit(
    kernels: Any, files: dict[tuple[str, str], Path], seen: Tensor
) -> None:
    before, after = (tflite_runner(files["int8", when], kernels=kernels)(seen[:50]) for when in (BEFORE, AFTER))
    assert len(before.unique()) > 50
    assert torch.equal(before, after)


@slow
def test_the_float_answers_are_the_same_but_for_the_order_of_sums(
    files: dict[tuple[str, str], Path], seen: Tensor
) -> None:
    before, after = (tflite_runner(files["float32", when])(seen[:50]) for when in (BEFORE, AFTER))
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-6)


@slow
@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_weights_have_the_shapes_that_the_kernels_like(when: str, files: dict[tuple[str, str], Path]) -> None:
    wanted = {shapes[when == AFTER] for shapes in WEIGHTS.values()}
    assert wanted <= set(weight_shapes(files["int8", when]))


@slow
def test_columns_of_float_layers_stay(files: dict[tuple[str, str], Path]) -> None:
    assert (16, 3, 3, 4) in weight_shapes(files["float32", AFTER])


@slow
def test_a_patch_keeps_its_bytes(files: dict[tuple[str, str], Path]) -> None:
    held = []
    for when, shape in zip((BEFORE, AFTER), WEIGHTS["patch"], strict=True):
        model = read_model(files["int8", when])
        tensors = [model.subgraphs[0].tensors[o.inputs[1]] for o in layers(model)]
        (tensor,) = (t for t in tensors if tuple(t.shape) == shape)
        value = constant(model, tensor, np.int8)
        assert value is not None
        held.append((value.tobytes(), list(tensor.quantization.scale)))
    assert held[0] == held[1]


@slow
def test_nothing_is_left_to_do_the_second_time(files: dict[tuple[str, str], Path]) -> None:
    model = read_model(files["int8", AFTER])
    assert (read_wide_rows(model), join_columns(model)) == (0, 0)
    model = read_model(files["int8", BEFORE])
    assert (read_wide_rows(model), join_columns(model)) == (4, 1)


@slow
def test_every_scale_and_integer_reads_back(stems: Built, files: dict[tuple[str, str], Path]) -> None:
    expected, found = quant_table(stems.quantized), tflite_quant_table(files["int8", AFTER])
    assert (unequal_layers(expected, found), unequal_scales(expected, found)) == ("", "")


@slow
@pytest.mark.parametrize("name", ["patch", "overlapping", "columns_of_4", "wide_kernel"])
def test_one_changed_integer_is_seen(
    name: str, stems: Built, files: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    model = read_model(files["int8", AFTER])
    tensors = model.subgraphs[0].tensors
    tensor = next(t for t in (tensors[o.inputs[1]] for o in layers(model)) if tuple(t.shape) == WEIGHTS[name][1])
    value = constant(model, tensor, np.int8)
    assert value is not None
    changed = value.copy()
    changed.flat[0] = 1 if changed.flat[0] != 1 else 2  # in `overlapping` and `wide_kernel` a zero that was put in
    model.buffers[tensor.buffer].data = list(changed.tobytes())
    write_model(tmp_path / "changed.tflite", model)
    assert "differ" in unequal_layers(quant_table(stems.quantized), tflite_quant_table(tmp_path / "changed.tflite"))


@pytest.mark.parametrize(("height", "changed"), [(1, 0), (2, 1)])
def test_a_sequence_stays_since_nobody_could_tell_what_reshaped_it(height: int, changed: int, tmp_path: Path) -> None:
    tensors = {
        "x": T((1, height, 64, 4)),
        "w": weight((8, 1, 2, 4), scales=8),
        "b": bias_of(8, scales=8),
        "y": T((1, -(-height // 2), 32, 8)),
    }
    op = Op("CONV_2D", ("x", "w", "b"), ("y",), conv(stride=2, padding=1), "Conv2DOptions")
    assert read_wide_rows(read_model(write_ops(tmp_path / "x.tflite", tensors, [op], ["x"], "y"))) == changed


# Zeros between the weights of a layer


def layer(weight: list[Any], scale: float = 1.0) -> Layer:
    values = np.array(weight, np.int8)
    return Layer(values.tobytes(), values.shape, (scale,) * len(values), (0,) * len(values))


SMALL_LAYER = layer([[[[1, 2]]], [[[3, 4]]]])  # two outputs, each of one channel, kernel 1x2


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([[[[1, 2]]], [[[3, 4]]]], True),
        ([[[[0, 1, 2]]], [[[0, 3, 4]]]], True),  # columns
        ([[[[1, 2]], [[0, 0]]], [[[0, 0]], [[3, 4]]]], True),  # channels: two groups joined
        ([[[[0, 0]], [[1, 2]]], [[[3, 4]], [[0, 0]]]], False),  # the channels of the other group
        ([[[[0, 1, 2]]], [[[3, 4, 0]]]], False),  # columns that differ from output to output
        ([[[[1, 2, 5]]], [[[3, 4, 0]]]], False),
        ([[[[1, 2]], [[1, 2]]], [[[0, 0]], [[3, 4]]]], False),
        ([[[[1]]], [[[3]]]], False),
    ],
)
def test_a_widened_layer_has_the_weights_and_zeros_alone(other: list[Any], same: bool) -> None:
    assert is_widened(SMALL_LAYER, layer(other)) is same


def test_a_widened_layer_has_the_same_scales() -> None:
    assert not is_widened(SMALL_LAYER, layer([[[[1, 2]]], [[[3, 4]]]], scale=2.0))
