"""How much the network loses when one part of it alone is int8: a layer, or a residual block.

Of a layer its weight, its input and its output are int8; of a block all that its layers and operators read and make.
A tensor has one set of parameters, so a quantized input is int8 for whoever else reads it. Biases are corrected where
the layer is int8, and as trained elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import fx

from attendc.compress.graph import call_nodes, set_constant
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.pruning.sensitivity import Probe, Sensitivity, judge
from attendc.compress.rules import fused_activation
from attendc.compress.tensors import weighted_layers
from attendc.context import Context
from attendc.exported import constant

__all__ = ["Calibrated", "Int8Part", "int8_parts", "measure_int8", "quantize_part"]


@dataclass(frozen=True)
class Calibrated:
    """What calibration started from and gave.

    Attributes:
        graph: the float graph, ready for int8.
        corrected: the same with corrected biases.
        plan: the parameters of each tensor and weight.
    """

    graph: fx.GraphModule
    corrected: fx.GraphModule
    plan: QuantPlan


@dataclass(frozen=True)
class Int8Part:
    """What is int8 together.

    Attributes:
        name: of the module, or of the node where an operator with weights has no module of its own.
        layers: names of the nodes with weights.
        tensors: names of the nodes whose outputs are quantized.
    """

    name: str
    layers: tuple[str, ...]
    tensors: tuple[str, ...]


def int8_parts(graph: fx.GraphModule, plan: QuantPlan, blocks: Collection[str]) -> list[Int8Part]:
    """Return each layer with weights, and each of `blocks` (names of modules) before its first layer, in order."""
    layers: dict[str, list[fx.Node]] = {}
    for node, name in _layer_names(weighted_layers(graph.graph), blocks).items():
        for block in blocks:
            if _is_in(node, block) and block not in layers:
                layers[block] = [n for n in call_nodes(graph.graph) if _is_in(n, block)]
        layers.setdefault(name, []).append(node)
    return [_part(name, nodes, plan) for name, nodes in layers.items()]


def quantize_part(calibrated: Calibrated, part: Int8Part) -> fx.GraphModule:
    """Return the graph with that part int8 and the rest float."""
    graph = copy.deepcopy(calibrated.graph)
    _take_biases(graph, calibrated.corrected, part.layers)
    plan = QuantPlan(
        {name: calibrated.plan.activations[name] for name in part.tensors},
        {name: calibrated.plan.weights[name] for name in part.layers},
    )
    return apply_plan(graph, plan, partial=True)


def measure_int8(calibrated: Calibrated, blocks: Collection[str], probe: Probe, context: Context) -> list[Sensitivity]:
    """Return a row for every layer and every block, in the order of the network."""
    parts = int8_parts(calibrated.graph, calibrated.plan, blocks)
    rows: list[Sensitivity] = []
    with context.progress("int8 sensitivity", len(parts)) as advance:
        for part in parts:
            rows.append(Sensitivity(part.name, "int8", 1.0, *judge(quantize_part(calibrated, part), probe)))
            advance(1, part.name)
    return rows


def _layer_names(layers: Sequence[fx.Node], blocks: Collection[str]) -> dict[fx.Node, str]:
    """Return the name of each layer: its module's, unless that is a module around other layers."""
    modules = {node: _module(node) for node in layers}
    around = {name for name in modules.values() if any(m.startswith(f"{name}.") for m in modules.values())}
    return {n: n.name if not name or name in around or name in blocks else name for n, name in modules.items()}


def _module(node: fx.Node) -> str:
    """Return the name of the module that a node comes from; empty if it is the network itself, or not known."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("L['self'].").removeprefix("L['self']").split("@", 1)[0]  # @1: used a second time


def _is_in(node: fx.Node, block: str) -> bool:
    return f"{_module(node)}.".startswith(f"{block}.")


def _part(name: str, nodes: Iterable[fx.Node], plan: QuantPlan) -> Int8Part:
    """Return the part that these nodes are, with what they read and make as far as the plan quantizes it."""
    chosen = list(nodes)
    made = [m for node in chosen for m in (node, fused_activation(node)) if m is not None]
    touched = dict.fromkeys(n.name for node in chosen for n in node.all_input_nodes)
    touched |= dict.fromkeys(m.name for m in made)
    layers = tuple(n.name for n in chosen if n.name in plan.weights)
    return Int8Part(name, layers, tuple(n for n in touched if n in plan.activations))


def _take_biases(graph: fx.GraphModule, corrected: fx.GraphModule, layers: Collection[str]) -> None:
    others = {n.name: n for n in weighted_layers(corrected.graph)}
    for node in weighted_layers(graph.graph):
        if node.name in layers:
            own, other = node.args[2], others[node.name].args[2]
            assert isinstance(own, fx.Node)
            assert isinstance(other, fx.Node)
            set_constant(graph, own, constant(corrected, other).detach().clone())
