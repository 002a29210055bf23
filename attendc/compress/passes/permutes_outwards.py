"""Push permutes towards the output, past operators that work on each number alone, until they meet and cancel.

Rules:
1. f(permute(x)) becomes permute(f(x)) where only f reads the permute.
2. f(permute(x), permute(y)) with the same order becomes permute(f(x, y)), f(permute(x), c) with a constant c as well:
   c, where it has as many dimensions as x, is permuted back once and for all. A number stays.
3. It is done only if in the end there are fewer permutes: a row of such operators that ends in a permute, or two
   permutes that become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_constant, replace_node
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["permutes_outwards"]

aten = torch.ops.aten
_PERMUTE = aten.permute.default
_ALONE = (
    aten.relu.default,
    aten.hardtanh.default,
    aten.clamp.default,
    aten.leaky_relu.default,
    aten.sigmoid.default,
    aten.tanh.default,
    aten.gelu.default,
    aten.silu.default,
    aten.hardswish.default,
    aten.hardsigmoid.default,
    aten.neg.default,
    aten.rsqrt.default,
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
    aten.maximum.default,
)


def permutes_outwards(gm: fx.GraphModule) -> Outcome:
    """Move permutes as long as rule 3 holds."""
    moved = 0
    for node in call_nodes(gm.graph, *_ALONE):  # in order: what is moved past one operator stands before the next
        order = _common_order(gm, node)
        if order is not None and (_permutes(node) > 1 or _meets_permute(gm, node, order)):  # 3
            _move(gm, node, order)
            moved += 1
    return outcome(gm, f"pushed permutes past {moved} operators" if moved else None)


def _common_order(gm: fx.GraphModule, node: fx.Node) -> tuple[int, ...] | None:
    """Return the order of the permutes that a node reads, if all it reads can be had without them (1, 2)."""
    sources = node.all_input_nodes
    permutes = [s for s in sources if s.target is _PERMUTE]
    others = [s for s in sources if s.target is not _PERMUTE]
    orders = {_order(p) for p in permutes}
    if len(orders) != 1 or any(len(p.users) != 1 for p in permutes):
        return None
    (order,) = orders
    fits = all(is_constant(c) and constant(gm, c).ndim in (0, len(order)) for c in others)
    return order if fits and node.meta["val"].ndim == len(order) else None


def _permutes(node: fx.Node) -> int:
    return sum(s.target is _PERMUTE for s in node.all_input_nodes)


def _meets_permute(gm: fx.GraphModule, node: fx.Node, order: tuple[int, ...]) -> bool:
    """Return whether the permute before a node, pushed on past such operators, comes to another that it can join."""
    while len(node.users) == 1:
        user = next(iter(node.users))
        if user.target is _PERMUTE:
            return True
        others = [s for s in user.all_input_nodes if s is not node]
        if user.target not in _ALONE:
            return False
        if any(s.target is _PERMUTE and _order(s) == order and len(s.users) == 1 for s in others):
            return True
        if not all(is_constant(c) and constant(gm, c).ndim in (0, len(order)) for c in others):
            return False
        node = user
    return False


def _move(gm: fx.GraphModule, node: fx.Node, order: tuple[int, ...]) -> None:
    permutes = [s for s in node.all_input_nodes if s.target is _PERMUTE]
    args = tuple(_without_permute(gm, argument, node, order) for argument in node.args)
    bare = insert_call(gm, node, cast("torch._ops.OpOverload", node.target), args, node)
    bare.kwargs = node.kwargs
    replace_node(gm, node, insert_call(gm, node, _PERMUTE, (bare, list(order)), permutes[0]))
    for permute in permutes:
        gm.graph.erase_node(permute)


def _without_permute(gm: fx.GraphModule, argument: object, node: fx.Node, order: tuple[int, ...]) -> object:
    if not isinstance(argument, fx.Node):
        return argument
    if argument.target is _PERMUTE:
        return argument.args[0]
    value = constant(gm, argument).detach()
    if value.ndim == 0:
        return argument
    back = [order.index(d) for d in range(len(order))]
    trained = isinstance(constant(gm, argument), torch.nn.Parameter)
    return add_constant(gm, f"{node.name}_permuted", value.permute(back).contiguous(), node, trained=trained)


def _order(node: fx.Node) -> tuple[int, ...]:
    order = cast("Sequence[int]", node.args[1])
    return tuple(int(d) % len(order) for d in order)
