"""Fold constant factors and offsets into the weights of the layer beside them.

c is a constant: one number, or one per channel. A layer is a convolution, or a linear layer over the last dimension,
that nothing else reads and whose weights are its own.

Rules:
1. layer(x) * c: outputs of the layer are scaled, weights and bias.
2. layer(x * c): inputs of the weights are scaled. Padding stays zero.
3. relu(layer(x)) * c with c > 0: as 1, since relu(c y) = c relu(y); so for leaky ReLU.
4. (a * c) * b, where b is the output of a layer (or its ReLU, as in 3): as b * c. So a softmax over C channels that is
   multiplied by C to keep its mean gives C to the layer that it is a gate of, and in int8 loses no code to it.
5. layer(x) + c and layer(x) - c: into the bias.
6. layer(x + c) without padding: W c into the bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from attendc.compress.graph import call_nodes, is_constant, replace_node, same_shape, set_constant
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["fold_factors"]

aten = torch.ops.aten
_LAYERS = (aten.conv2d.default, aten.linear.default)
_KEEP_FACTORS = (aten.relu.default, aten.leaky_relu.default)


def fold_factors(gm: fx.GraphModule) -> Outcome:
    """Do away with the products and sums of the rules."""
    factors = offsets = 0
    while True:  # what is folded may bring the next beside the layer
        products = sum(_fold_product(gm, node) for node in call_nodes(gm.graph, aten.mul.Tensor))
        sums = sum(_fold_sum(gm, node) for node in call_nodes(gm.graph, aten.add.Tensor, aten.sub.Tensor))
        factors, offsets = factors + products, offsets + sums
        if not products + sums:
            break
    return outcome(
        gm,
        f"folded {factors} constant factors into layers" if factors else None,
        f"folded {offsets} constant offsets into layers" if offsets else None,
    )


def _fold_product(gm: fx.GraphModule, node: fx.Node) -> bool:
    x, factor = _with_constant(gm, node)
    if x is None or factor is None or not same_shape(x, node):
        return False
    layer = _layer_before(gm, x, positive=bool((factor > 0).all()))
    values = None if layer is None else _per_output(gm, layer, factor)
    if layer is not None and values is not None:  # 1, 3
        _scale_outputs(gm, layer, values)
    elif not (_into_gated(gm, node, factor) or _into_readers(gm, node, factor)):
        return False
    replace_node(gm, node, x)
    return True


def _into_gated(gm: fx.GraphModule, node: fx.Node, factor: Tensor) -> bool:
    """Give the factor of (a * c) * b to the layer of b (4)."""
    users = list(node.users)
    if len(users) != 1 or users[0].target is not aten.mul.Tensor:
        return False
    others = [a for a in users[0].args[:2] if a is not node]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return False
    layer = _layer_before(gm, others[0], positive=bool((factor > 0).all()))
    values = None if layer is None else _per_output(gm, layer, factor)
    if layer is None or values is None:
        return False
    _scale_outputs(gm, layer, values)
    return True


def _into_readers(gm: fx.GraphModule, node: fx.Node, factor: Tensor) -> bool:
    """Scale the inputs of all layers that read a product (2)."""
    users = list(node.users)
    if not users or not all(_is_layer(gm, u) and u.args[0] is node for u in users):
        return False
    scales = [_per_input(gm, user, factor) for user in users]
    if any(scale is None for scale in scales):
        return False
    for user, scale in zip(users, scales, strict=True):
        assert scale is not None
        weight = _weight(gm, user)
        _set_weight(gm, user, weight * scale)
    return True


def _fold_sum(gm: fx.GraphModule, node: fx.Node) -> bool:
    x, offset = _with_constant(gm, node)
    if x is None or offset is None or not same_shape(x, node) or node.kwargs.get("alpha", 1) != 1:
        return False
    if node.target is aten.sub.Tensor:
        if node.args[0] is not x:
            return False
        offset = -offset
    layer = x if _is_layer(gm, x) and len(x.users) == 1 else None
    values = None if layer is None else _per_output(gm, layer, offset)
    if layer is not None and values is not None and _has_bias(layer):  # 5
        _add_bias(gm, layer, values)
    elif not _into_biases(gm, node, offset):
        return False
    replace_node(gm, node, x)
    return True


def _into_biases(gm: fx.GraphModule, node: fx.Node, offset: Tensor) -> bool:
    """Add what an offset adds to each layer that reads a sum (6)."""
    users = list(node.users)
    if not users or not all(_is_layer(gm, u) and u.args[0] is node and not _pads(u) and _has_bias(u) for u in users):
        return False
    offsets = [_per_input(gm, user, offset) for user in users]
    if any(one is None for one in offsets):
        return False
    for user, one in zip(users, offsets, strict=True):
        assert one is not None
        weight = _weight(gm, user)
        _add_bias(gm, user, (weight * one).flatten(1).sum(1))
    return True


def _with_constant(gm: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, Tensor | None]:
    """Return what is computed and the constant, float64, of an operator of both; (None, None) of another."""
    found = [a for a in node.args[:2] if isinstance(a, fx.Node) and not is_constant(a)]
    held = [a for a in node.args[:2] if is_constant(a)]
    if len(found) != 1 or len(held) != 1:
        return None, None
    value = constant(gm, held[0]).detach()  # type: ignore[arg-type]
    return (found[0], value.double()) if value.is_floating_point() else (None, None)


def _layer_before(gm: fx.GraphModule, node: fx.Node, *, positive: bool) -> fx.Node | None:
    """Return the layer whose outputs `node` is, through a ReLU where factors are positive; None if others read it."""
    if positive and node.target in _KEEP_FACTORS and len(node.users) == 1:
        node = node.all_input_nodes[0]
    return node if _is_layer(gm, node) and len(node.users) == 1 else None


def _is_layer(gm: fx.GraphModule, node: fx.Node) -> bool:
    if node.target not in _LAYERS or node.kwargs or node.args[0] in node.args[1:]:
        return False
    own = [n for n in node.args[1:3] if n is not None]
    return all(is_constant(n) and len(n.users) == 1 for n in own)  # type: ignore[union-attr]


def _has_bias(layer: fx.Node) -> bool:
    return len(layer.args) > 2 and layer.args[2] is not None


def _pads(layer: fx.Node) -> bool:
    padding = layer.args[4] if layer.target is aten.conv2d.default and len(layer.args) > 4 else 0
    return any(padding) if isinstance(padding, Sequence) else bool(padding)


def _weight(gm: fx.GraphModule, layer: fx.Node) -> Tensor:
    return constant(gm, layer.args[1]).detach().double()  # type: ignore[arg-type]


def _per_output(gm: fx.GraphModule, layer: fx.Node, value: Tensor) -> Tensor | None:
    """Return a constant that meets the outputs of a layer as (O,); None if it is not one per channel."""
    return _per_channel(layer, value, len(_weight(gm, layer)))


def _per_input(gm: fx.GraphModule, layer: fx.Node, value: Tensor) -> Tensor | None:
    """Return a constant that meets the input of a layer in the shape of its weights; None if it is not per channel."""
    weight = _weight(gm, layer)
    if layer.target is aten.linear.default:
        return _per_channel(layer, value, weight.shape[1])
    groups = int(layer.args[6]) if len(layer.args) > 6 else 1  # type: ignore[arg-type]
    found = _per_channel(layer, value, weight.shape[1] * groups)
    if found is None:
        return None
    return found.view(groups, 1, -1).expand(groups, len(weight) // groups, -1).reshape(len(weight), -1, 1, 1)


def _per_channel(layer: fx.Node, value: Tensor, channels: int) -> Tensor | None:
    if value.numel() == 1:
        return value.reshape(1).expand(channels)
    behind = 2 if layer.target is aten.conv2d.default else 0  # dimensions after the channels
    whole = (*(1 for _ in range(value.ndim - 1 - behind)), channels, *(1,) * behind)
    return value.reshape(channels) if tuple(value.shape) == whole else None


def _scale_outputs(gm: fx.GraphModule, layer: fx.Node, factor: Tensor) -> None:
    weight = _weight(gm, layer)
    _set_weight(gm, layer, weight * factor.view(-1, *(1,) * (weight.ndim - 1)))
    if _has_bias(layer):
        bias = layer.args[2]
        set_constant(gm, bias, (constant(gm, bias).detach().double() * factor).float())  # type: ignore[arg-type]


def _set_weight(gm: fx.GraphModule, layer: fx.Node, value: Tensor) -> None:
    set_constant(gm, layer.args[1], value.float())  # type: ignore[arg-type]


def _add_bias(gm: fx.GraphModule, layer: fx.Node, value: Tensor) -> None:
    bias = layer.args[2]
    set_constant(gm, bias, (constant(gm, bias).detach().double() + value).float())  # type: ignore[arg-type]
