"""The parts of AttendNeXt against computations by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from attendc.models.layers import ACTIVATIONS, DCAC, GATES, BasicBlock, BottleneckBlock, ConvBN, antialias


def dcac(*, bottleneck: bool = False, stride: int = 2, gate: str = "softmax") -> DCAC:
    torch.manual_seed(0)
    return DCAC(8, 4, stride=stride, columns=2, bottleneck=bottleneck, gate=gate, activation="silu").eval()


def image(channels: int = 8, side: int = 4) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))


# ConvBN


def test_a_conv_bn_is_a_bias_free_convolution_then_norm_then_activation() -> None:
    conv, norm, act = ConvBN(4, 8, 3, activation="silu")
    assert [type(m) for m in (conv, norm, act)] == [nn.Conv2d, nn.BatchNorm2d, nn.SiLU]
    assert conv.bias is None


def test_its_batch_norm_has_the_constants_of_the_family() -> None:
    norm = ConvBN(4, 8, 3)[1]
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_no_activation_is_added_unless_named() -> None:
    assert len(ConvBN(4, 8, 3)) == 2


@pytest.mark.parametrize(("kernel", "stride", "side"), [(1, 1, 6), (3, 1, 6), (3, 2, 3), (5, 1, 6)])
def test_the_padding_keeps_the_size_at_stride_1(kernel: int, stride: int, side: int) -> None:
    assert ConvBN(4, 8, kernel, stride=stride)(image(4, 6)).shape == (2, 8, side, side)


def test_columns_do_not_see_each_other() -> None:
    conv, x = ConvBN(4, 4, 3, columns=2).eval(), image(4)
    touched = x.clone()
    touched[:, 2:] += 1  # the second column
    assert torch.equal(conv(x)[:, :2], conv(touched)[:, :2])
    assert not torch.equal(conv(x)[:, 2:], conv(touched)[:, 2:])


def test_a_strided_pointwise_convolution_must_be_asked_for_by_name() -> None:
    conv, *_ = ConvBN(4, 8, 1, stride=2, skip_pixels=True)
    assert isinstance(conv, nn.Conv2d)
    assert (conv.stride, conv.padding) == ((2, 2), (0, 0))


def test_a_strided_pointwise_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="strided pointwise convolution"):
        ConvBN(4, 8, 1, stride=2)


# Anti-aliased downsampling


def test_downsampling_averages_every_pixel() -> None:
    x = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 6.0, 0.0, 4.0]]]])
    assert antialias(2)(x).tolist() == [[[[3.0, 1.0]]]]  # (1+2+3+6)/4, (0+0+0+4)/4


def test_stride_1_keeps_the_image() -> None:
    assert torch.equal(antialias(1)(image()), image())


# Gates and activations


def test_the_softmax_gate_sums_to_one_over_channels_at_each_pixel() -> None:
    assert torch.allclose(GATES["softmax"]()(image()).sum(1), torch.ones(2, 4, 4))


@pytest.mark.parametrize(
    ("gate", "expected"),
    [("sigmoid", [0.0, 0.5, 0.8808, 1.0]), ("hardsigmoid", [0.0, 0.5, 2 / 6 + 0.5, 1.0])],
)
def test_the_other_gates_run_from_0_to_1(gate: str, expected: list[float]) -> None:
    x = torch.tensor([-100.0, 0.0, 2.0, 100.0])  # 1 / (1 + e^-2) = 0.8808; x / 6 + 1/2
    assert torch.allclose(GATES[gate]()(x), torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("silu", [-0.2689, 0.0, 7.9973]),  # x / (1 + e^-x)
        ("relu", [0.0, 0.0, 8.0]),
        ("relu6", [0.0, 0.0, 6.0]),
        ("hardswish", [-1 / 3, 0.0, 8.0]),  # x * min(max(x + 3, 0), 6) / 6
    ],
)
def test_activations_are_what_they_are_called(name: str, expected: list[float]) -> None:
    x = torch.tensor([-1.0, 0.0, 8.0])
    assert torch.allclose(ACTIVATIONS[name]()(x), torch.tensor(expected), atol=1e-4)


# DC-AC


@pytest.mark.parametrize("bottleneck", [False, True], ids=["basic", "bottleneck"])
def test_a_dcac_is_silu_of_softmax_of_a_times_v(*, bottleneck: bool) -> None:
    block, x = dcac(bottleneck=bottleneck), image()
    a, v = block.attention(x), block.features(x)
    gated = a.exp() / a.exp().sum(1, keepdim=True) * v
    assert torch.allclose(block(x), gated / (1 + (-gated).exp()), atol=1e-6)


def test_the_sigmoid_gate_of_a_dcac_weighs_each_value_alone() -> None:
    block, x = dcac(gate="sigmoid"), image()
    gated = block.features(x) / (1 + (-block.attention(x)).exp())
    assert torch.allclose(block(x), gated / (1 + (-gated).exp()), atol=1e-6)


def test_the_feature_branch_is_a_matrix_on_averaged_pixels() -> None:
    block, x = dcac(), image()
    averaged = x.reshape(2, 8, 2, 2, 2, 2).mean((3, 5))
    mixed = torch.einsum("oi,nihw->nohw", block.features[1][0].weight[:, :, 0, 0], averaged)
    fresh_norm = mixed / (1 + 1e-5) ** 0.5  # mean 0, variance 1
    assert torch.allclose(block.features(x), fresh_norm, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("bottleneck", "channels"), [(False, 4), (True, 8)])
def test_both_branches_are_condensed_to_the_same_shape(stride: int, channels: int, *, bottleneck: bool) -> None:
    block, x = dcac(bottleneck=bottleneck, stride=stride), image()
    expected = (2, channels, 4 // stride, 4 // stride)
    assert block.attention(x).shape == block.features(x).shape == block(x).shape == expected


def test_a_dcac_has_no_residual() -> None:
    block = dcac()
    block.features[1][1].weight.data.zero_()
    assert torch.equal(block(image()), torch.zeros(2, 4, 2, 2))


# Residual blocks


@pytest.mark.parametrize(
    "block", [BasicBlock(8, columns=2, activation="relu"), BottleneckBlock(4, columns=2, activation="relu")]
)
def test_a_residual_block_is_relu_of_its_stack_plus_its_input(block: nn.Module) -> None:
    x = image()
    assert torch.equal(block.eval()(x), (block.stack(x) + x).clamp(min=0))


def test_a_residual_block_whose_stack_is_silent_passes_its_input() -> None:
    block = BasicBlock(8, columns=2, activation="relu").eval()
    block.stack[1][1].weight.data.zero_()
    assert torch.equal(block(image().abs()), image().abs())


def test_a_bottleneck_narrows_and_widens_by_the_expansion() -> None:
    convs = [m for m in BottleneckBlock(4, columns=2, activation="silu").modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convs] == [(8, 4, 1), (4, 4, 3), (4, 8, 1)]
