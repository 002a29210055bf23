"""The table of LiteRT's int8 rules."""

from __future__ import annotations

import pytest
import torch
from nets import FLOAT_MIDDLES, MIDDLES, SMALL, Call, mixed, raw, small
from torch import fx, nn

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes
from attendc.compress.kernel_limits import clips_like_relu
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.rules import RULES, fused_activation, rule_of
from attendc.types import QuantParams

aten = torch.ops.aten


def ready(middle: str) -> fx.Graph:
    return run_passes(capture(small(middle), SMALL), INT8_PASSES).graph


@pytest.mark.parametrize(
    ("output", "operators"),
    [
        (
            "own",
            (
                "conv2d.default linear.default matmul.default add.Tensor sub.Tensor mul.Tensor relu.default "
                "hardtanh.default clamp.default hardswish.default leaky_relu.default gelu.default exp.default "
                "rsqrt.default abs.default mean.dim"
            ),
        ),
        ("fixed", "sigmoid.default softmax.int _softmax.default tanh.default"),
        (
            "same",
            (
                "avg_pool2d.default max_pool2d.default amax.default maximum.default upsample_nearest2d.vec "
                "upsample_bilinear2d.vec view.default reshape.default flatten.using_ints squeeze.dims "
                "unsqueeze.default permute.default constant_pad_nd.default pad.default expand.default "
                "pixel_shuffle.default flip.default slice.Tensor cat.default"
            ),
        ),
    ],
)
def test_each_operator_has_its_kind_of_output(output: str, operators: str) -> None:
    assert {str(op) for op, rule in RULES.items() if rule.output == output} == {f"aten.{o}" for o in operators.split()}


def test_only_convolutions_and_linear_layers_have_weights() -> None:
    assert {op for op, rule in RULES.items() if rule.has_weight} == {aten.conv2d.default, aten.linear.default}


@pytest.mark.parametrize("op", [aten.sigmoid.default, aten.softmax.int, aten._softmax.default])
def test_outputs_from_0_to_1_have_256_steps_from_minus_128(op: torch._ops.OpOverload) -> None:
    assert RULES[op].fixed == QuantParams((1 / 256,), (-128,), -128, 127, None)


def test_tanh_has_steps_of_a_128th_around_0() -> None:
    assert RULES[aten.tanh.default].fixed == QuantParams((1 / 128,), (0,))


@pytest.mark.slow
@pytest.mark.parametrize("middle", MIDDLES)
def test_every_operator_of_these_networks_has_a_rule(middle: str) -> None:
    calls = [n for n in ready(middle).nodes if n.op == "call_function"]
    assert [n.name for n in calls if rule_of(n) is None] == []


@pytest.mark.parametrize("middle", FLOAT_MIDDLES)
def test_these_have_an_operator_without_a_rule(middle: str) -> None:
    calls = [n for n in ready(middle).nodes if n.op == "call_function"]
    assert len([n for n in calls if rule_of(n) is None]) == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (torch.relu, True),
        (nn.functional.hardtanh, False),  # -1 .. 1
        (lambda x: nn.functional.hardtanh(x, 0.0, 6.0), True),
        (lambda x: torch.clamp(x, 0, 6), True),
        (lambda x: torch.clamp(x, min=0), True),
        (lambda x: torch.clamp(x, max=6), False),
        (lambda x: torch.clamp(x, 0, 1), False),
        (torch.sigmoid, False),
    ],
)
def test_relu_is_known_however_it_is_spelled(function: object, *, expected: bool) -> None:
    graph = raw(nn.Sequential(Call(function), nn.Flatten(1)))  # type: ignore[arg-type]
    (clip,) = call_nodes(
        graph.graph, aten.relu.default, aten.hardtanh.default, aten.clamp.default, aten.sigmoid.default
    )
    assert clips_like_relu(clip) is expected


def test_a_relu_joins_what_it_alone_reads() -> None:
    nodes = {n.name: n for n in capture(mixed(), SMALL).graph.nodes}
    joined = {n.name: fused_activation(n).name for n in nodes.values() if fused_activation(n) is not None}  # type: ignore[union-attr]
    assert joined == {"conv2d": "relu", "conv2d_1": "hardtanh"}


def test_a_relu_behind_a_sum_joins_the_sum() -> None:
    joined = [fused_activation(n) for n in ready("residual").nodes if n.target is aten.add.Tensor]
    assert [n.name for n in joined if n is not None] == ["relu"]


def test_a_relu_does_not_join_what_others_read_too() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return (torch.relu(y) + y).flatten(1)

    (conv,) = (n for n in raw(Both()).graph.nodes if n.target is aten.conv2d.default)
    assert fused_activation(conv) is None
