"""Fold batch norms into the layers before them.

Rules:
1. A batch norm behind a convolution or a linear layer that only it reads, and whose weights are its own, is folded:
   w' = w * gamma / sqrt(var + eps) and b' = beta + (b - mean) * gamma / sqrt(var + eps).
2. Another one over an image (N, C, H, W) becomes a 1x1 depthwise convolution.
3. Another one over (N, C) or (N, C, L) becomes a product and a sum.

Source: arXiv 1806.08342, section 3.2.2.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_constant, replace_node, set_constant
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["factor_and_offset", "fold_bn"]

aten = torch.ops.aten
_BN = aten._native_batch_norm_legit_no_training.default


def fold_bn(gm: fx.GraphModule) -> Outcome:
    """Remove every batch norm."""
    convs = linears = replaced = products = 0
    for node in call_nodes(gm.graph, _BN):
        factor, offset = factor_and_offset(gm, node)
        source = node.args[0]
        assert isinstance(source, fx.Node)
        rank = node.meta["val"][0].ndim
        if _foldable(source, rank):
            _fold(gm, source, factor, offset)
            new, convs, linears = source, convs + (rank == 4), linears + (rank == 2)
        elif rank == 4:
            new, replaced = _depthwise(gm, node, source, factor, offset), replaced + 1
        else:
            new, products = _product_and_sum(gm, node, source, factor, offset), products + 1
        for user in list(node.users):
            assert user.target is operator.getitem
            assert user.args[1] == 0, "only the output of a batch norm is read at inference"
            replace_node(gm, user, new)
        gm.graph.erase_node(node)
    return outcome(
        gm,
        f"folded {convs} batch norms into convolutions" if convs else None,
        f"folded {linears} batch norms into linear layers" if linears else None,
        f"{replaced} batch norms became depthwise convolutions" if replaced else None,
        f"{products} batch norms became products and sums" if products else None,
    )


def factor_and_offset(gm: fx.GraphModule, node: fx.Node) -> tuple[Tensor, Tensor]:
    """Return the batch norm as y = factor * x + offset, in float64."""
    _, gamma, beta, mean, variance, _, eps = node.args
    mean_value, variance_value = (constant(gm, n).double() for n in (mean, variance))  # type: ignore[arg-type]
    factor = torch.rsqrt(variance_value + float(eps))  # type: ignore[arg-type]
    if isinstance(gamma, fx.Node):
        factor = factor * constant(gm, gamma).detach().double()
    offset = -mean_value * factor
    if isinstance(beta, fx.Node):
        offset = offset + constant(gm, beta).detach().double()
    return factor, offset


def _foldable(source: fx.Node, rank: int) -> bool:
    """A layer whose output channels are normalised, that only the batch norm reads, with weights of its own."""
    layer = {4: aten.conv2d.default, 2: aten.linear.default}.get(rank)
    if layer is None or source.target is not layer or len(source.users) != 1:
        return False
    weight = source.args[1]
    return is_constant(weight) and len(weight.users) == 1  # type: ignore[union-attr]


def _fold(gm: fx.GraphModule, conv: fx.Node, factor: Tensor, offset: Tensor) -> None:
    weight_node = conv.args[1]
    bias_node = conv.args[2] if len(conv.args) > 2 else None
    assert isinstance(weight_node, fx.Node)
    weight = constant(gm, weight_node).detach()
    set_constant(gm, weight_node, (weight.double() * factor.view(-1, *(1,) * (weight.ndim - 1))).to(weight.dtype))
    bias = constant(gm, bias_node).detach().double() if isinstance(bias_node, fx.Node) else 0.0
    new = add_constant(gm, f"{conv.name}_bias", (offset + bias * factor).to(weight.dtype), conv, trained=True)
    conv.args = (*conv.args[:2], new, *conv.args[3:])


def _depthwise(gm: fx.GraphModule, node: fx.Node, source: fx.Node, factor: Tensor, offset: Tensor) -> fx.Node:
    channels = len(factor)
    weight = add_constant(gm, f"{node.name}_weight", factor.float().view(-1, 1, 1, 1), node, trained=True)
    bias = add_constant(gm, f"{node.name}_bias", offset.float(), node, trained=True)
    args = (source, weight, bias, [1, 1], [0, 0], [1, 1], channels)
    return insert_call(gm, node, aten.conv2d.default, args, node)


def _product_and_sum(gm: fx.GraphModule, node: fx.Node, source: fx.Node, factor: Tensor, offset: Tensor) -> fx.Node:
    shape = (1, -1, *(1,) * (node.meta["val"][0].ndim - 2))
    new = source
    for name, target, value in (("factor", aten.mul.Tensor, factor), ("offset", aten.add.Tensor, offset)):
        one = add_constant(gm, f"{node.name}_{name}", value.float().reshape(shape), node, trained=True)
        new = insert_call(gm, node, target, (new, one), node)
    return new
