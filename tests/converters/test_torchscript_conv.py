"""Convolutions in torch's engines: the same integers in another shape."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hand_made import AfterLayer, Layer, exported
from torch import Tensor

from attendc.converters.read_torchscript import inspect_torchscript, torchscript_quant_table
from attendc.converters.to_torchscript import write_torchscript
from attendc.converters.torchscript_conv import unjoined
from attendc.engines import engines
from attendc.qdq import output_params, quant_table
from attendc.runtimes import load_torchscript, torchscript_runner

pytestmark = pytest.mark.slow  # every shape on every engine

CONVS: dict[str, tuple[tuple[int, int, int, int], tuple[object, ...], tuple[int, int], tuple[int, int]]] = {
    # (O, I / groups, H, W), (stride, padding, dilation, groups), sides of the input, (groups, H) as packed
    "plain": ((6, 4, 3, 3), ([2, 2], [1, 1], [1, 1], 1), (7, 5), (1, 3)),
    "dilated": ((6, 4, 3, 3), ([1, 1], [2, 2], [2, 2], 1), (7, 5), (1, 3)),
    "pool_of_16": ((16, 1, 2, 2), ([2, 2], [0, 0], [1, 1], 16), (6, 4), (1, 3)),
    "pool_of_8": ((8, 1, 2, 2), ([2, 2], [0, 0], [1, 1], 8), (6, 4), (1, 3)),
    "pool_of_12": ((12, 1, 2, 2), ([2, 2], [0, 0], [1, 1], 12), (6, 4), (1, 3)),
    "average_of_3x3": ((16, 1, 3, 3), ([2, 2], [1, 1], [1, 1], 16), (6, 4), (1, 3)),
    "pool_of_odd_sides": ((8, 1, 2, 2), ([2, 2], [0, 0], [1, 1], 8), (7, 5), (8, 2)),
    "global_pool": ((8, 1, 4, 4), ([4, 4], [0, 0], [1, 1], 8), (4, 4), (2, 4)),
    "few_channels_a_group": ((16, 4, 3, 3), ([1, 1], [1, 1], [1, 1], 2), (6, 6), (2, 3)),
    "ten_groups_of_4": ((40, 4, 3, 3), ([1, 1], [1, 1], [1, 1], 10), (6, 6), (5, 3)),
    "nine_groups_of_2": ((18, 2, 3, 3), ([2, 2], [1, 1], [1, 1], 9), (6, 6), (3, 3)),
    "eight_groups_of_4": ((32, 4, 3, 3), ([1, 1], [1, 1], [1, 1], 8), (6, 6), (8, 3)),
    "four_groups_of_10": ((40, 10, 3, 3), ([1, 1], [1, 1], [1, 1], 4), (6, 6), (2, 3)),
}


def layer(shape: tuple[int, ...], arguments: tuple[object, ...], *, largest: float = 0.9) -> Layer:
    """Return a layer of which this part of the weights is the largest there is: what adds in 16 bits saturates."""
    torch.manual_seed(2)
    weight = torch.where(torch.rand(shape) < largest, 127, torch.randint(-127, 128, shape))
    return Layer(weight, torch.randint(-9999, 9999, shape[:1]), torch.rand(shape[0]) / 1000 + 0.001, arguments)


@pytest.mark.parametrize("name", CONVS)
def test_every_engine_is_within_a_step_and_the_layer_reads_back(name: str, tmp_path: Path) -> None:
    shape, arguments, sides, packed = CONVS[name]
    made = layer(shape, arguments, largest=1.0 if name.startswith("average") else 0.9)
    one = exported(AfterLayer(made, (1 / 8, -20), lambda x: x), shape[1] * arguments[3], *sides)  # type: ignore[operator]
    write_torchscript(tmp_path / "x", one.graph, one.stamp)
    assert torchscript_quant_table(tmp_path / "x").layers == quant_table(one.graph).layers
    assert packed_shape(tmp_path / "x") == packed
    expected, step = one.graph(one.x), output_params(one.graph.graph)[0]
    for engine in engines():
        assert (torchscript_runner(tmp_path / "x", engine)(one.x) - expected).abs().max() <= 1.01 * step, engine


def packed_shape(path: Path) -> tuple[int, int]:
    """Return groups and height of the packed weight in a file."""
    (node,) = [n for n in load_torchscript(path).inlined_graph.nodes() if n.kind() == "quantized::conv2d"]
    packed = list(node.inputs())[1].toIValue()
    return torch.ops.quantized.conv2d_groups(packed), torch.ops.quantized.conv2d_unpack(packed)[0].shape[2]


def test_the_default_engine_does_not_saturate_in_depthwise_convolutions(tmp_path: Path) -> None:
    """FBGEMM's kernel does: with 112 channels, which `x86` gives to it, it was over 50 steps off."""
    heavy = layer((112, 1, 3, 3), ([1, 1], [1, 1], [1, 1], 112))
    one = exported(AfterLayer(heavy, (1 / 64, 0), lambda x: x), 112, 6, 6)
    write_torchscript(tmp_path / "x", one.graph, one.stamp)
    off = (torchscript_runner(tmp_path / "x")(one.x) - one.graph(one.x)).abs().max()
    assert off <= 1.01 * output_params(one.graph.graph)[0]


def test_relu6_behind_a_convolution_is_in_its_kernel_and_a_clip_where_6_is_not_the_end(tmp_path: Path) -> None:
    for scale, clips in ((6 / 255, False), (8 / 255, True)):  # 255 steps reach 6, and 8
        plain = layer((4, 4, 1, 1), ())
        one = exported(AfterLayer(plain, (scale, -128), lambda y: torch.nn.functional.hardtanh(y, 0, 6)), 4, 5, 5)
        write_torchscript(tmp_path / "x", one.graph, one.stamp)
        found = inspect_torchscript(tmp_path / "x")["ops"]
        assert ("quantized::conv2d_relu" in found, "aten::hardtanh" in found) == (True, clips)
        off = (torchscript_runner(tmp_path / "x")(one.x) - one.graph(one.x)).abs().max()
        assert off <= 1.01 * scale


def test_zeros_that_are_none_are_not_taken_off() -> None:
    own = torch.tensor([[1, 2], [3, 4]], dtype=torch.int8).reshape(4, 1, 1, 1)

    def packed(stray: int) -> Tensor:  # two groups of two channels each
        return torch.tensor([[1, stray], [0, 2], [3, 0], [0, 4]], dtype=torch.int8).reshape(4, 2, 1, 1)

    assert torch.equal(unjoined(packed(0), 2, (4, 1, 1, 1), 4), own)
    assert unjoined(packed(5), 2, (4, 1, 1, 1), 4).shape == (4, 2, 1, 1)
