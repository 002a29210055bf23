"""Which tensors of a float graph are quantized, and which of them share their parameters.

One tensor has one set of parameters, whoever reads it: that is what a TFLite file can say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx

from attendc.compress.graph import is_constant, is_float, module_path
from attendc.compress.rules import OpRule, fused_activation, refusal, rule_of
from attendc.errors import ConversionError
from attendc.types import QuantParams

__all__ = [
    "Groups",
    "Unsupported",
    "check_supported",
    "is_quantized",
    "quantized_nodes",
    "sharing_groups",
    "unsupported",
    "weighted_layers",
]

_ALL_ALIKE = ("CONCATENATION", "MAXIMUM")
"""Operators all of whose inputs have the parameters of the output."""


@dataclass(frozen=True)
class Unsupported:
    """An operator that cannot be int8: the node, what it is, where in the user's network, and why."""

    node: str
    op: str
    module: str
    reason: str

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.op} in {self.module}: {self.reason}"


@dataclass(frozen=True)
class Groups:
    """Sharing: `leader[name]` is the tensor whose parameters `name` has; `fixed` those that the runtime fixes."""

    leader: dict[str, str]
    fixed: dict[str, QuantParams]


def is_quantized(node: fx.Node) -> bool:
    """Return whether the output of `node` is a tensor with int8 parameters."""
    if node.op == "placeholder":
        return True
    if rule_of(node) is None:
        # An operator that stays float: its output is int8 again for whoever reads it.
        return node.op == "call_function" and is_float(node)
    return fused_activation(node) is None


def quantized_nodes(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes with int8 outputs and the constants that elementwise operators read, in order."""
    return [n for n in graph.nodes if is_quantized(n) or _is_operand(n)]


def weighted_layers(graph: fx.Graph) -> list[fx.Node]:
    """Return the layers with a weight and a bias (arguments 1 and 2), in order."""
    rules = ((n, rule_of(n)) for n in graph.nodes)
    return [n for n, rule in rules if rule is not None and rule.has_weight]


def unsupported(graph: fx.Graph) -> list[Unsupported]:
    """Return every operator on float tensors that has no rule."""
    found = []
    for node in graph.nodes:
        if node.op != "call_function" or not is_float(node) or rule_of(node) is not None:
            continue
        name = getattr(node.target, "__name__", str(node.target))
        found.append(Unsupported(node.name, name, module_path(node), refusal(node)))
    return found


def check_supported(graph: fx.Graph) -> None:
    """Refuse a graph with an operator that cannot be int8.

    Raises:
        ConversionError: naming the operators, their modules and the reason.
    """
    found = unsupported(graph)
    if found:
        raise ConversionError(
            f"{len(found)} operations cannot be int8: " + "; ".join(str(u) for u in found[:5]),
            hint="Replace them in the network, or add --allow-float to leave them in float",
        )


def sharing_groups(graph: fx.Graph) -> Groups:
    """Return which tensors share their parameters, resolved over chains of pools, reshapes and concatenations.

    Raises:
        ConversionError: if tensors that must share have different parameters fixed by the runtime.
    """
    leader = {n.name: n.name for n in quantized_nodes(graph)}
    fixed: dict[str, QuantParams] = {}
    for node in quantized_nodes(graph):
        rule = rule_of(node)
        if rule is None:
            continue
        if rule.fixed is not None:
            fixed[node.name] = rule.fixed
        if rule.output == "same":
            for source in sources(node, rule):
                _join(leader, source.name, node.name)
    resolved = {name: _find(leader, name) for name in leader}
    by_leader: dict[str, QuantParams] = {}
    for name, params in fixed.items():
        if by_leader.setdefault(resolved[name], params) != params:
            raise ConversionError(f"{name} must share its scale with a tensor that the runtime fixes otherwise")
    return Groups(resolved, by_leader)


def sources(node: fx.Node, rule: OpRule) -> Iterable[fx.Node]:
    """Return the quantized inputs whose parameters a `same` operator keeps."""
    wanted = node.all_input_nodes if rule.litert in _ALL_ALIKE else node.all_input_nodes[:1]
    return [n for n in wanted if is_quantized(n) or _is_operand(n)]


def _is_operand(node: fx.Node) -> bool:
    """A constant that an elementwise operator reads like an activation."""
    if not is_constant(node):
        return False
    rules = [rule_of(user) for user in node.users]
    return any(r is not None and not r.has_weight for r in rules)


def _find(leader: dict[str, str], name: str) -> str:
    while leader[name] != name:
        name = leader[name]
    return name


def _join(leader: dict[str, str], one: str, other: str) -> None:
    leader[_find(leader, other)] = _find(leader, one)
