"""The LiteRT int8 rules as a table: for each operator, how its output and its constants are quantized.

Activations are int8, asymmetric, per tensor; weights int8, symmetric, per output channel in [-127, 127] with zero
point 0; biases int32 with scale = input scale x weight scale. An operator that is not in the table cannot run in int8.

Source: LiteRT 8-bit quantization specification, ai.google.dev/edge/litert (operator specifications), and what
LiteRT 2.3 with XNNPACK accepted when tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import fx

from attendc.compress.kernel_limits import clips_like_relu, limit, no_kernel
from attendc.types import QuantParams

__all__ = [
    "ACT_QMAX",
    "ACT_QMIN",
    "FIXED_SIGMOID",
    "RULES",
    "WEIGHT_QMAX",
    "OpRule",
    "fused_activation",
    "refusal",
    "rule_of",
]

aten = torch.ops.aten
Overload = torch._ops.OpOverload

ACT_QMIN, ACT_QMAX = -128, 127
WEIGHT_QMAX = 127

FIXED_SIGMOID = QuantParams((1 / 256,), (-128,))
"""Outputs of LOGISTIC and SOFTMAX; the runtime refuses any other."""
FIXED_TANH = QuantParams((1 / 128,), (0,))


@dataclass(frozen=True)
class OpRule:
    """Attributes:
    litert: the operator in the TFLite file.
    output: `own` range, the `same` as the input (of several: as all of them), or `fixed` by the runtime.
    fixed: the parameters where `output` is `fixed`.
    has_weight: whether argument 1 is a weight with its output channels first, and argument 2 a bias.
    fuses: whether a ReLU or ReLU6 that alone reads the output joins the operator.
    """

    litert: str
    output: Literal["own", "same", "fixed"] = "own"
    fixed: QuantParams | None = None
    has_weight: bool = False
    fuses: bool = False


def _same(litert: str) -> OpRule:
    return OpRule(litert, "same")


RULES: dict[Overload, OpRule] = {
    aten.conv2d.default: OpRule("CONV_2D", has_weight=True, fuses=True),
    aten.linear.default: OpRule("FULLY_CONNECTED", has_weight=True, fuses=True),
    aten.matmul.default: OpRule("BATCH_MATMUL"),
    aten.add.Tensor: OpRule("ADD", fuses=True),
    aten.sub.Tensor: OpRule("SUB", fuses=True),
    aten.mul.Tensor: OpRule("MUL", fuses=True),
    aten.sigmoid.default: OpRule("LOGISTIC", "fixed", FIXED_SIGMOID),
    aten.softmax.int: OpRule("SOFTMAX", "fixed", FIXED_SIGMOID),
    aten._softmax.default: OpRule("SOFTMAX", "fixed", FIXED_SIGMOID),
    aten.tanh.default: OpRule("TANH", "fixed", FIXED_TANH),
    aten.relu.default: OpRule("RELU"),
    aten.hardtanh.default: OpRule("RELU6"),
    aten.clamp.default: OpRule("RELU6"),
    aten.hardswish.default: OpRule("HARD_SWISH"),
    aten.leaky_relu.default: OpRule("LEAKY_RELU"),
    aten.gelu.default: OpRule("GELU"),
    aten.exp.default: OpRule("EXP"),
    aten.rsqrt.default: OpRule("RSQRT"),
    aten.abs.default: OpRule("ABS"),
    aten.mean.dim: OpRule("MEAN"),
    aten.avg_pool2d.default: _same("AVERAGE_POOL_2D"),
    aten.max_pool2d.default: _same("MAX_POOL_2D"),
    aten.amax.default: _same("REDUCE_MAX"),
    aten.maximum.default: _same("MAXIMUM"),
    aten.upsample_nearest2d.vec: _same("RESIZE_NEAREST_NEIGHBOR"),
    aten.upsample_bilinear2d.vec: _same("RESIZE_BILINEAR"),
    aten.view.default: _same("RESHAPE"),
    aten.reshape.default: _same("RESHAPE"),
    aten.flatten.using_ints: _same("RESHAPE"),
    aten.squeeze.dims: _same("RESHAPE"),
    aten.unsqueeze.default: _same("RESHAPE"),
    aten.permute.default: _same("TRANSPOSE"),
    aten.constant_pad_nd.default: _same("PAD"),
    aten.pad.default: _same("PAD"),
    aten.expand.default: _same("BROADCAST_TO"),
    aten.pixel_shuffle.default: _same("DEPTH_TO_SPACE"),
    aten.flip.default: _same("REVERSE_V2"),
    aten.slice.Tensor: _same("STRIDED_SLICE"),
    aten.cat.default: _same("CONCATENATION"),
}
"""Operator -> rule, the one place to add an operator that LiteRT runs in int8."""


def rule_of(node: fx.Node) -> OpRule | None:
    """Return the rule of a node, None where LiteRT has no int8 kernel for it."""
    if node.op != "call_function":
        return None
    if limit(node) is not None:
        return None
    return RULES.get(cast("Overload", node.target))


def refusal(node: fx.Node) -> str:
    """Return why `rule_of` has nothing for an operator."""
    return limit(node) or no_kernel(node)


def fused_activation(node: fx.Node) -> fx.Node | None:
    """Return the ReLU that joins `node`: then only the ReLU's output is a tensor of the TFLite file."""
    rule = rule_of(node)
    if rule is None or not rule.fuses or len(node.users) != 1:
        return None
    user = next(iter(node.users))
    return user if clips_like_relu(user) else None
