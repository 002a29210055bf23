"""The operators of the int8 TFLite file that a network becomes, each with the layers that tell its channels.

They are read from the graph that is quantized: batch norms folded, pools written as convolutions, repeats shared. So
what a pruned network will cost on a core is known from the shapes of its layers alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import fx, nn

from attendc.arm.kernels import DEPTHWISE_TAPS, columns_together
from attendc.arm.ops import SILU, Op
from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.pruning.groups import Block
from attendc.compress.pruning.shapes import LayerShape, Shapes
from attendc.compress.rules import RULES, fused_activation
from attendc.types import Preprocess

__all__ = ["Operator", "find_operators", "written"]

aten = torch.ops.aten
Overload = torch._ops.OpOverload


@dataclass(frozen=True)
class Operator:
    """One operator of the file.

    Attributes:
        op: what it is in the network as it was looked at, with the columns of the network.
        layer: whose weights it has; empty: nobody's that can be pruned.
        follows: layers whose outputs its channels are, all that meet in a residual sum. Empty: as many stay.
        within: a layer of each block around it. It goes with any of them.
    """

    op: Op
    layer: str = ""
    follows: tuple[str, ...] = ()
    within: tuple[str, ...] = ()

    def of(self, shapes: Shapes) -> Op | None:
        """Return what it is in a network of other shapes; None where it went with a block."""
        if any(name not in shapes for name in self.within):
            return None
        if self.layer:
            return written(self._of_layer(shapes[self.layer]))
        channels = next((shapes[name].outputs for name in self.follows if name in shapes), self.op.outputs)
        groups = channels if self.op.groups > 1 else 1  # of a pool, written as a depthwise convolution
        now = replace(self.op, inputs=channels, outputs=channels, groups=groups) if self.follows else self.op
        if now.kind == "DEPTHWISE_CONV_2D" and now.pixels == 1 and math.prod(now.kernel) > DEPTHWISE_TAPS:
            return replace(now, kind="MEAN", groups=1, stride=(1, 1))
        return written(now)

    def _of_layer(self, now: LayerShape) -> Op:
        kind = self.op.kind
        if now.kind == "conv":
            kind = "DEPTHWISE_CONV_2D" if now.groups == now.inputs else "CONV_2D"
        return replace(self.op, kind=kind, inputs=now.inputs, outputs=now.outputs, groups=now.groups)


def find_operators(
    model: nn.Module, preprocess: Preprocess, shapes: Shapes, blocks: Iterable[Block]
) -> tuple[Operator, ...]:
    """Return the operators of a network whose layers have these shapes.

    Raises:
        CheckpointError: if torch.export cannot trace it; then nothing could convert it either.
    """
    graph = run_passes(capture(model, preprocess), INT8_PASSES)
    return _Reader(shapes, tuple(blocks)).read(graph)


class _Reader:
    """Goes through a graph, and keeps of each node which layers' outputs are its channels, the latest first."""

    def __init__(self, shapes: Shapes, blocks: Sequence[Block]) -> None:
        self.shapes, self.blocks = shapes, blocks
        self.place = {name: place for place, name in enumerate(shapes)}
        self.follows: dict[fx.Node, tuple[str, ...]] = {}

    def read(self, graph: fx.GraphModule) -> tuple[Operator, ...]:
        found = []
        for node in graph.graph.nodes:
            if node.op == "call_function" and hasattr(node.meta.get("val"), "shape"):
                layer = self._layer(node)
                self.follows[node] = (layer,) if layer else self._passed_on(node)
                if kind := _kind(node):
                    found.append(self._operator(node, kind, layer))
        return tuple(found)

    def _operator(self, node: fx.Node, kind: str, layer: str) -> Operator:
        follows = self.follows[node]
        channels, height, width = _extent(node, self.shapes[follows[0]].outputs if follows else None)
        told = {"inputs": channels, "outputs": channels, "height": height, "width": width} | _told(node)
        op = Op(kind, "int8", name=node.name, **told)
        within = tuple(b.layers[0] for b in self.blocks if f"{_path(node)}.".startswith(f"{b.name}."))
        return Operator(op, layer, () if layer else follows, within)

    def _layer(self, node: fx.Node) -> str:
        """Return the layer whose weights a node has: its module, or of branches that became one the first like it."""
        if node.target not in (aten.conv2d.default, aten.linear.default):
            return ""
        weight, groups, path = _sizes(node.args[1]), _groups(node), _path(node)
        for name, shape in self.shapes.items():
            inside = name == path or name.startswith(f"{path}.")
            alike = (shape.outputs, shape.inputs, shape.groups) == (weight[0], weight[1] * groups, groups)
            if inside and alike and shape.kind in ("conv", "linear"):
                return name
        return ""

    def _passed_on(self, node: fx.Node) -> tuple[str, ...]:
        """Return the layers before an operator that has as many channels as they."""
        before = {name for source in node.all_input_nodes for name in self.follows.get(source, ())}
        same = [name for name in before if self.shapes[name].outputs in _sizes(node)[1:]]
        return tuple(sorted(same, key=self.place.__getitem__, reverse=True))


def written(op: Op) -> Op:
    """Return a convolution as it stands in the file, where columns that fit into one tile of 8 outputs are joined."""
    if op.kind != "CONV_2D" or op.groups == 1:
        return op
    return replace(op, groups=op.groups // columns_together(op.groups, op.outputs // op.groups))


def _kind(node: fx.Node) -> str:
    """Return what the operator is called in a TFLite file; nothing where it is no operator of its own there."""
    rule = RULES.get(cast("Overload", node.target))
    source: Any = node.args[0] if node.args else None
    if rule is None or rule.litert == "RESHAPE":  # moves nothing
        return ""
    if rule.litert.startswith("RELU") and fused_activation(source) is node:
        return ""
    if node.target is aten.conv2d.default and _sizes(node.args[1])[1] == 1:
        return "DEPTHWISE_CONV_2D"
    if node.target is aten.sigmoid.default and all(_is_silu(user, node) for user in node.users):
        return ""
    if any(_is_silu(node, gate) for gate in node.all_input_nodes):
        return SILU
    return rule.litert


def _is_silu(node: fx.Node, gate: fx.Node) -> bool:
    """Return whether a node is x * gate, with gate = sigmoid(x)."""
    if node.target is not aten.mul.Tensor or gate.target is not aten.sigmoid.default:
        return False
    return set(node.args[:2]) == {gate, gate.args[0]}


def _told(node: fx.Node) -> dict[str, Any]:
    """Return what an Op is told beside its kind and extent."""
    args = node.args
    if node.target is aten.conv2d.default:
        weight, groups = _sizes(args[1]), _groups(node)
        stride = _pair(args[3]) if len(args) > 3 else (1, 1)
        inputs = weight[1] * groups
        return {"inputs": inputs, "outputs": weight[0], "groups": groups, "kernel": weight[2:4], "stride": stride}
    if node.target is aten.linear.default:
        return {"inputs": _sizes(args[1])[1], "outputs": _sizes(args[1])[0]}
    if node.target in (aten.avg_pool2d.default, aten.max_pool2d.default):
        return {"kernel": _pair(args[1]), "stride": _pair(args[2] if len(args) > 2 and args[2] else args[1])}
    if node.target in (aten.mean.dim, aten.amax.default):
        return {"kernel": (math.prod(_sizes(args[0])[1:]) // math.prod(_sizes(node)[1:]), 1)}
    return {"broadcast": _broadcast(node)}


def _broadcast(node: fx.Node) -> str:
    """Return what the smaller of two inputs has one number for: `pixel`, `channel` or `all`; empty: they are alike."""
    both = [_sizes(source)[1:] for source in node.all_input_nodes]
    if len(both) != 2 or math.prod(both[0]) == math.prod(both[1]):
        return ""
    small = min(both, key=math.prod)
    return "all" if math.prod(small) == 1 else "pixel" if small[0] == 1 else "channel"


def _groups(node: fx.Node) -> int:
    groups: Any = node.args[6] if node.target is aten.conv2d.default and len(node.args) > 6 else 1
    return int(groups)


def _extent(node: fx.Node, channels: int | None) -> tuple[int, int, int]:
    """Return (channels, height, width) of what a node makes of one image; channels are first where nobody knows."""
    sizes = list(_sizes(node))[1:]
    place = sizes.index(channels) if channels in sizes else 0
    channels = sizes.pop(place) if sizes else 1
    return channels, math.prod(sizes[:-1]), sizes[-1] if sizes else 1


def _sizes(node: Any) -> tuple[int, ...]:
    """Return the sizes of a tensor, 0 for the batch's."""
    return tuple(int(size) if isinstance(size, int) else 0 for size in node.meta["val"].shape)


def _pair(value: Any) -> tuple[int, int]:
    sizes = [int(value)] if isinstance(value, int) else [int(v) for v in value]
    return (sizes[0], sizes[-1])


def _path(node: fx.Node) -> str:
    """Return the module that a node comes from: `stages.0.0.attention.1.0`."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""
