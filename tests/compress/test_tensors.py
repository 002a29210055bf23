"""Which tensors are quantized, and which share their parameters."""

from __future__ import annotations

import pytest
import torch
from nets import SMALL, Call, mixed, small
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.tensors import check_supported, quantized_nodes, sharing_groups, unsupported
from attendc.errors import ConversionError
from attendc.types import QuantParams


def ready(net: nn.Module) -> fx.Graph:
    return run_passes(capture(net, SMALL), INT8_PASSES).graph


def flat(function: object) -> nn.Module:
    """Return a network that applies a function to the 8x8 image, then flattens it."""
    return nn.Sequential(Call(function), nn.Flatten(1))  # type: ignore[arg-type]


def test_a_layer_that_a_relu_joins_has_no_tensor_of_its_own() -> None:
    names = [n.name for n in quantized_nodes(ready(small("conv_bn_relu")))]
    assert names == ["x" if "x" in names else names[0], "conv2d", "relu", "conv2d_default", "view", "linear"]


def test_the_input_and_the_output_are_quantized() -> None:
    graph = ready(mixed())
    nodes = quantized_nodes(graph)
    assert nodes[0].op == "placeholder"
    assert nodes[-1].name == "linear"


def test_constants_that_are_added_or_multiplied_are_quantized_weights_are_not() -> None:
    nodes = quantized_nodes(ready(small("hardsigmoid_gate")))
    assert [n.target for n in nodes if n.op == "get_attr"] == ["hardsigmoid_factor"]  # its shift is in the bias


def groups_of(graph: fx.Graph) -> set[frozenset[str]]:
    leader = sharing_groups(graph).leader
    return {
        frozenset(m for m in leader if leader[m] == one) for one in leader.values() if [*leader.values()].count(one) > 1
    }


def test_a_pool_shares_with_its_input() -> None:
    assert frozenset({"conv2d", "max_pool2d"}) in groups_of(ready(small("max_pool")))


def test_a_reshape_shares_with_its_input() -> None:
    assert frozenset({"conv2d_default", "view"}) in groups_of(ready(small("silu")))


def test_a_concatenation_shares_with_all_its_inputs() -> None:
    assert frozenset({"conv2d_1", "conv2d_2", "cat"}) in groups_of(ready(small("concat")))


def test_sharing_goes_through_chains() -> None:
    class Chain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = nn.functional.max_pool2d(x, 2)
            return torch.cat([y, torch.relu(y)], 1).flatten(1)

    ((group),) = groups_of(ready(Chain()))
    assert {"max_pool2d", "cat", "relu", "view"} < group
    assert len(group) == 5  # and the input


def test_fixed_parameters_reach_the_whole_group() -> None:
    groups = sharing_groups(ready(flat(lambda x: nn.functional.max_pool2d(torch.sigmoid(x), 2))))
    assert groups.leader["max_pool2d"] == groups.leader["view"] == groups.leader["sigmoid"] == "sigmoid"
    assert groups.fixed == {"sigmoid": QuantParams((1 / 256,), (-128,))}


def test_tensors_fixed_differently_cannot_be_joined() -> None:
    graph = capture(flat(lambda x: torch.cat([torch.sigmoid(x), torch.tanh(x)], 1)), SMALL).graph
    with pytest.raises(
        ConversionError, match="tanh must share its scale with a tensor that the runtime fixes otherwise"
    ):
        sharing_groups(graph)


def test_an_operator_without_a_rule_is_named_with_its_module() -> None:
    (found,) = unsupported(ready(small("erf")))
    assert str(found) == "erf.default in 1 (Call): LiteRT has no int8 kernel for it"


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        ("erf", r"erf.default in 1 \(Call\)"),
        ("cubes", r"pow.Tensor_Scalar in 1 \(Call\)"),
    ],
)
def test_a_graph_that_cannot_be_int8_is_refused(middle: str, named: str) -> None:
    with pytest.raises(ConversionError, match=f"1 operations cannot be int8: {named}: .*--allow-float") as caught:
        check_supported(ready(small(middle)))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x**3, "LiteRT has no int8 power; a square becomes a product"),
        (lambda x: x / (x * x + 1), "LiteRT divides in float only"),
        (torch.sqrt, "LiteRT takes square roots in float only"),
        (lambda x: nn.functional.max_pool2d(x, 2, dilation=2), r"a max pool with gaps in its window \(dilation\)"),
        (lambda x: x - x.mean((0, 2, 3), keepdim=True), "it mixes the images of a batch"),
        (lambda x: x.softmax(2), "LiteRT takes softmax over the last dimension only"),
        (lambda x: nn.functional.interpolate(x, scale_factor=1.3), "a factor that does not make whole sizes"),
        (lambda x: nn.functional.interpolate(x, 16, mode="bicubic"), "LiteRT resizes by nearest and bilinear only"),
        (lambda x: x.std((2, 3)), "mean and amax have one"),
        (lambda x: torch.clamp(x, x * 0), "LiteRT clips at 0 and 6 only, and its limits must be numbers"),
    ],
)
def test_each_refusal_has_its_own_reason(function: object, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        check_supported(ready(flat(function)))


def test_a_graph_that_can_is_not() -> None:
    check_supported(ready(mixed()))


def test_what_reads_a_float_operator_reads_it_quantized_again() -> None:
    assert "erf" in [n.name for n in quantized_nodes(ready(small("erf")))]
