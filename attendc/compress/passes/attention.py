"""Spell out products of activations and attention, which LiteRT has no one operator for.

Rules:
1. bmm, mm and baddbmm become matmul; a product with a constant matrix becomes a linear layer, and so does addmm.
2. scaled_dot_product_attention(q, k, v) = softmax((q * scale) @ k^T + mask) @ v. The scale stands on q, which is
   smaller than the product. A mask of truth values becomes one of 0 and -inf; a causal one is a constant.
3. A softmax over one number is 1: what it weighs is what comes out. Networks have it where an image has become as small
   as one patch, and litert-torch would write it in float.

Source: arXiv 1706.03762, section 3.2.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx

from attendc.compress.graph import (
    add_constant,
    call_nodes,
    free_shape,
    insert_call,
    is_constant,
    number_like,
    replace_node,
)
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_attention", "spell_out_products"]

aten = torch.ops.aten


def spell_out_products(gm: fx.GraphModule) -> Outcome:
    """Replace the products of rule 1."""
    products = call_nodes(gm.graph, aten.bmm.default, aten.mm.default)
    for node in products:
        node.target = aten.matmul.default
    sums = call_nodes(gm.graph, aten.addmm.default, aten.baddbmm.default)
    for node in sums:
        _spell_sum(gm, node)
    layers = sum([_as_linear(gm, node) for node in call_nodes(gm.graph, aten.matmul.default)])
    return outcome(
        gm,
        f"{len(products)} products got one name" if products else None,
        f"spelled out {len(sums)} sums of products" if sums else None,
        f"{layers} products with constants became linear layers" if layers else None,
    )


def _spell_sum(gm: fx.GraphModule, node: fx.Node) -> None:
    """Write beta * term + alpha * (one @ other) with operators of their own."""
    term, one, other = node.args
    product = insert_call(gm, node, aten.matmul.default, (one, other), node)
    for name, position in (("alpha", 1), ("beta", 0)):
        factor = node.kwargs.get(name, 1)
        if factor != 1:
            scaled = insert_call(gm, node, aten.mul.Tensor, ((term, product)[position], factor), node)
            term, product = (term, scaled) if position else (scaled, product)
    replace_node(gm, node, insert_call(gm, node, aten.add.Tensor, (product, term), node))


def _as_linear(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Make x @ W, with a constant W of (in, out), a linear layer with the weight (out, in)."""
    x, matrix = node.args
    if not isinstance(matrix, fx.Node) or not is_constant(matrix) or matrix.meta["val"].ndim != 2:
        return False
    assert isinstance(x, fx.Node)
    if x.meta["val"].ndim < 2:
        return False
    weight = add_constant(gm, f"{node.name}_weight", constant(gm, matrix).detach().t().contiguous(), node, trained=True)
    replace_node(gm, node, insert_call(gm, node, aten.linear.default, (x, weight), node))
    return True


def spell_out_attention(gm: fx.GraphModule) -> Outcome:
    """Replace scaled_dot_product_attention (2), unless its heads are grouped."""
    done = 0
    for node in call_nodes(gm.graph, aten.scaled_dot_product_attention.default):
        if node.kwargs.get("enable_gqa"):
            continue
        _spell_attention(gm, node)
        done += 1
    single = sum([_drop_single(gm, node) for node in call_nodes(gm.graph, aten.softmax.int)])
    return outcome(
        gm,
        f"spelled out {done} attentions" if done else None,
        f"dropped {single} attentions to a single position" if single else None,
    )


def _drop_single(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Let what reads softmax(scores) @ v read v, where there is one score for each (3)."""
    readers = list(node.users)
    single = node.meta["val"].shape[-1] == 1 and node.args[1] in (-1, node.meta["val"].ndim - 1)
    products = [n for n in readers if n.target is aten.matmul.default and n.args[0] is node]
    same = [free_shape(n) == free_shape(n.args[1]) for n in products]  # type: ignore[arg-type]
    if not single or not readers or len(products) < len(readers) or not all(same):
        return False
    for product in products:
        replace_node(gm, product, product.args[1])  # type: ignore[arg-type]
    return True


def _spell_attention(gm: fx.GraphModule, node: fx.Node) -> None:
    given: list[Any] = [*node.args, *[None, 0.0, False][len(node.args) - 3 :]]
    q, k, v, mask, _, causal = given
    scale = node.kwargs.get("scale") or 1 / math.sqrt(int(q.meta["val"].shape[-1]))
    factor = add_constant(gm, f"{node.name}_scale", number_like(float(scale), q), node)  # type: ignore[arg-type]

    def call(target: Any, *args: object) -> fx.Node:
        return insert_call(gm, node, target, args, node)

    order = [*range(k.meta["val"].ndim - 2), -1, -2]
    turned = call(aten.permute.default, k, [d % len(order) for d in order])
    scores = call(aten.matmul.default, call(aten.mul.Tensor, q, factor), turned)
    bias = _mask(gm, node, mask, scores, causal=bool(causal))
    if bias is not None:
        scores = call(aten.add.Tensor, scores, bias)
    replace_node(gm, node, call(aten.matmul.default, call(aten.softmax.int, scores, -1), v))


def _mask(gm: fx.GraphModule, node: fx.Node, mask: Any, scores: fx.Node, *, causal: bool) -> fx.Node | None:
    """Return what is added to the scores, None without a mask."""
    if causal:
        rows, columns = (int(size) for size in scores.meta["val"].shape[-2:])
        allowed = torch.ones(rows, columns, dtype=torch.bool).tril()
        return add_constant(gm, f"{node.name}_mask", _as_bias(allowed, scores.meta["val"].ndim), node)
    if isinstance(mask, fx.Node) and is_constant(mask) and constant(gm, mask).dtype is torch.bool:
        value = _as_bias(constant(gm, mask), scores.meta["val"].ndim)
        return add_constant(gm, f"{node.name}_mask", value, node)
    return mask if isinstance(mask, fx.Node) else None


def _as_bias(allowed: Tensor, rank: int) -> Tensor:
    bias = torch.zeros(allowed.shape).masked_fill(~allowed, -math.inf)
    return bias.reshape((1,) * (rank - bias.ndim) + bias.shape)
