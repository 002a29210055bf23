"""Arithmetic in terms of add, sub, mul and rsqrt, which LiteRT has in int8: it divides and takes roots in float only.

Rules:
1. x / c of a constant c is x * (1 / c).
2. x / sqrt(y) is x * rsqrt(y), and 1 / sqrt(y) is rsqrt(y).
3. x ** 2 is x * x, x ** 0.5 is sqrt(x) and x ** -0.5 is rsqrt(x).
4. c - x of a number becomes a subtraction from a constant, and -x a multiplication by -1.
5. x + alpha * y becomes a multiplication and an addition, x - alpha * y likewise.
6. A constant has as many dimensions as what it meets, and a size of its own: litert-torch puts TRANSPOSE around
   operators that broadcast.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx

from attendc.compress.graph import (
    add_constant,
    call_nodes,
    insert_call,
    is_constant,
    is_float,
    number_like,
    replace_node,
)
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_arithmetic"]

aten = torch.ops.aten

_BINARY = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default)


def spell_out_arithmetic(gm: fx.GraphModule) -> Outcome:
    """Rewrite divisions (1, 2), powers (3), negations (4), scaled sums (5) and the shapes of constants (6)."""
    rules: tuple[tuple[str, Callable[[fx.GraphModule], int]], ...] = (
        ("powers", _powers),
        ("divisions", _divisions),
        ("negations", _negations),
        ("scaled sums", _scaled_sums),
        ("constants with fewer dimensions", _constants),
    )
    counts = [(name, rule(gm)) for name, rule in rules]
    return outcome(gm, *(f"spelled out {count} {name}" if count else None for name, count in counts))


def _powers(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, aten.pow.Tensor_Scalar, aten.square.default):
        x, exponent = (*node.args, 2)[:2]
        if exponent == 2:
            new = insert_call(gm, node, aten.mul.Tensor, (x, x), node)
        elif exponent in (0.5, -0.5):
            new = insert_call(gm, node, aten.sqrt.default if exponent == 0.5 else aten.rsqrt.default, (x,), node)
        else:
            continue
        replace_node(gm, node, new)
        done += 1
    return done


def _divisions(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, aten.div.Tensor, aten.reciprocal.default):
        factor = _inverse(gm, node)
        if factor is None:
            continue
        if node.target is aten.reciprocal.default:
            replace_node(gm, node, factor)
        else:
            replace_node(gm, node, insert_call(gm, node, aten.mul.Tensor, (node.args[0], factor), node))
        done += 1
    return done


def _inverse(gm: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return a node for one over what a division divides by; None where LiteRT has none in int8."""
    divisor = node.args[-1]
    if node.args[0] is not divisor and not is_float(node.args[0]):
        return None
    if isinstance(divisor, (int, float)) and isinstance(node.args[0], fx.Node):
        return add_constant(gm, f"{node.name}_factor", number_like(1 / divisor, node.args[0]), node)
    if not isinstance(divisor, fx.Node):
        return None
    if is_constant(divisor):
        return add_constant(gm, f"{node.name}_factor", 1 / constant(gm, divisor).detach(), node)
    if divisor.target is aten.sqrt.default:
        return insert_call(gm, node, aten.rsqrt.default, (divisor.args[0],), node)
    return None


def _negations(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, aten.rsub.Scalar, aten.neg.default):
        x, number, alpha = (*node.args, None, None)[:3]
        if not isinstance(x, fx.Node) or not is_float(x) or alpha not in (None, 1):
            continue
        if number is None:
            minus = add_constant(gm, f"{node.name}_factor", number_like(-1.0, x), node)
            new = insert_call(gm, node, aten.mul.Tensor, (x, minus), node)
        else:
            start = add_constant(gm, f"{node.name}_number", number_like(float(number), x), node)  # type: ignore[arg-type]
            new = insert_call(gm, node, aten.sub.Tensor, (start, x), node)
        replace_node(gm, node, new)
        done += 1
    return done


def _scaled_sums(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, aten.add.Tensor, aten.sub.Tensor):
        alpha = node.kwargs.get("alpha", 1)
        x, y = node.args[:2]
        if alpha == 1 or not isinstance(y, fx.Node) or not is_float(y):
            continue
        factor = add_constant(gm, f"{node.name}_alpha", number_like(float(alpha), y), node)  # type: ignore[arg-type]
        node.args, node.kwargs = (x, insert_call(gm, node, aten.mul.Tensor, (y, factor), node)), {}
        done += 1
    return done


def _constants(gm: fx.GraphModule) -> int:
    done = 0
    for node in call_nodes(gm.graph, *_BINARY):
        rank = node.meta["val"].ndim
        for operand in [a for a in node.args[:2] if isinstance(a, fx.Node) and is_constant(a)]:
            value = constant(gm, operand)
            if not value.is_floating_point() or value.ndim == rank:
                continue
            full = value.detach().reshape((1,) * (rank - value.ndim) + tuple(value.shape)).clone()
            trained = isinstance(value, torch.nn.Parameter)
            new = add_constant(gm, f"{node.name}_constant", full, node, trained=trained)
            node.replace_input_with(operand, new)
            done += 1
    return done
