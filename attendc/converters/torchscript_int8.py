"""The quantized graph in torch's quantized kernels: activations quint8, weights qint8, the graph's own integers.

What stands between dequantize and quantize becomes one kernel of `torchscript_kernels`, with the ReLU that joins it.
An operator without one computes in float, between a dequantize and a quantize that any reader of the file can see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from attendc.converters.torchscript_kernels import KERNELS
from attendc.converters.torchscript_site import Params, Site
from attendc.exported import constant
from attendc.qdq import quant_table

__all__ = ["ZERO_POINT_SHIFT", "PackedLayer", "quantized_module"]

ZERO_POINT_SHIFT = 128
"""quint8 = int8 + 128."""
QUINT8_MAX = 255

aten, _Q = torch.ops.aten, torch.ops.quantized_decomposed
_QUANTIZE, _DEQUANTIZE = _Q.quantize_per_tensor.default, _Q.dequantize_per_tensor.default
_CLIPS = (aten.relu.default, aten.hardtanh.default, aten.clamp.default)
_JOINABLE = (aten.conv2d.default, aten.linear.default, aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor)


@dataclass(frozen=True)
class PackedLayer:
    """What a packed weight no longer tells of the layer in it: name, shape of its weight, groups (1 if linear)."""

    name: str
    shape: tuple[int, ...]
    groups: int


def quantized_module(graph: fx.GraphModule, sample: Tensor) -> tuple[fx.GraphModule, list[PackedLayer]]:
    """Return a module that computes what the quantized graph does, and the layers in it in the order of their calls.

    It takes float32 (N, C, H, W) and returns float32 logits. Its packed weights are for the quantized engine that torch
    has at this moment. `sample` is a batch of 2.
    """
    writer = _Writer(graph, sample)
    return writer.write(), writer.packed


class _Shapes(fx.Interpreter):
    """Runs the graph once and keeps the shape of every tensor; the graph need not know them."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.found[n] = tuple(value.shape)
        return value


class _Writer:
    """Goes through the graph once; `made` holds the quint8 tensor of every dequantize, and what is no tensor."""

    def __init__(self, source: fx.GraphModule, sample: Tensor) -> None:
        self.source, self.layers = source, quant_table(source).layers
        self.root, self.graph = nn.Module(), fx.Graph()
        self.made: dict[fx.Node, fx.Node] = {}
        self.floats: dict[fx.Node, fx.Node] = {}
        self.packed: list[PackedLayer] = []
        shapes = _Shapes(source)
        with torch.no_grad():
            shapes.run(sample)
        self.shapes = shapes.found

    def write(self) -> fx.GraphModule:
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.floats[node] = self.graph.placeholder(node.name)
            elif node.target is _QUANTIZE:
                self.made[node] = self.quantized(node)
            elif node.target is _DEQUANTIZE:
                self.made[node] = self.made[node.args[0]]
            elif node.op == "output":
                self.graph.output(self.real(node.all_input_nodes[0]))
        return fx.GraphModule(self.root, self.graph).eval()

    def quantized(self, node: fx.Node) -> fx.Node:
        """Return the quint8 tensor of a quantize node: a constant, a kernel's, or quantized float."""
        source = cast("fx.Node", node.args[0])
        out = _params(node)
        if source.op == "get_attr":
            integers = _QUANTIZE(constant(self.source, source).detach(), *node.args[1:])
            shifted = (integers.int() + ZERO_POINT_SHIFT).to(torch.uint8)
            return self.store(source.name, torch._make_per_tensor_quantized_tensor(shifted, *out))
        kernel = self.kernel(source, out) if source.op == "call_function" else None
        return kernel or self.call(torch.quantize_per_tensor, self.real(source), *out, torch.quint8)

    def kernel(self, source: fx.Node, out: Params) -> fx.Node | None:
        """Return the kernel for the operator whose output `source` is, None where there is none."""
        core, (low, high) = _joined(source), _limits(source)
        operands = [n for n in _tensors(core) if n in self.shapes and not self.is_packed(core, n)]
        if core.target not in KERNELS or not all(n in self.made for n in operands):
            return None
        if (low, high) not in ((None, None), (0.0, None), (0.0, 6.0)):
            return None
        site = Site(
            core,
            tuple(self.made[n] for n in operands),
            tuple(_params(n) for n in operands),
            tuple(self.shapes[n] for n in operands),
            self.shapes[core],
            out,
            low is not None,
            self.layers.get(core.name),
            self.call,
            lambda packed: self.pack(core, packed),
        )
        made = KERNELS[core.target](site)
        if made is not None and high is not None and round(high / out[0]) + out[1] < QUINT8_MAX:
            made = self.call(aten.hardtanh.default, made, low, high)
        return made

    def is_packed(self, core: fx.Node, node: fx.Node) -> bool:
        """Tell the weight and bias of a layer from the tensor that it reads."""
        return core.name in self.layers and node is not core.args[0]

    def real(self, node: fx.Node) -> fx.Node:
        """Return the float32 tensor (or the number) of a node of the quantized graph."""
        if node not in self.floats:
            self.floats[node] = self._real(node)
        return self.floats[node]

    def _real(self, node: fx.Node) -> fx.Node:
        if node in self.made:
            return self.call(aten.dequantize.self, self.made[node])
        if node.target is _Q.dequantize_per_channel.default:  # integer x scale already
            return self.real(node.all_input_nodes[0].all_input_nodes[0])
        if node.op == "get_attr":
            return self.store(node.name, constant(self.source, node).detach())
        if node.target is aten.sym_size.int:
            measured, dim = cast("tuple[fx.Node, int]", node.args)
            return self.graph.call_method("size", (self.made.get(measured) or self.real(measured), dim))
        return self.call(node.target, *node.args, **node.kwargs)

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a call; nodes of the quantized graph among its arguments become their float32 tensors.

        torch.jit.script finds the overload by itself, and takes no other name than that of all.
        """
        target = target.overloadpacket if isinstance(target, torch._ops.OpOverload) else target
        ours = fx.map_arg((args, kwargs), lambda n: n if n.graph is self.graph else self.real(n))
        return self.graph.call_function(target, *cast("tuple[Any, Any]", ours))

    def pack(self, core: fx.Node, packed: Any) -> fx.Node:
        """Keep the packed weight of a layer."""
        groups = core.args[6] if core.target is aten.conv2d.default and len(core.args) > 6 else 1
        self.packed.append(PackedLayer(core.name, self.layers[core.name].shape, cast("int", groups)))
        return self.store(f"{core.name}_packed", packed)

    def store(self, name: str, value: Any) -> fx.Node:
        """Keep a constant under `name`, which is that of a node and so the only one."""
        if isinstance(value, Tensor):
            self.root.register_buffer(name, value)
        else:
            setattr(self.root, name, value)  # packed weights
        return self.graph.get_attr(name)


def _tensors(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that a node reads, as often as it does, in the order of its arguments."""
    found: list[fx.Node] = []

    def keep(one: fx.Node) -> fx.Node:
        found.append(one)
        return one

    fx.map_arg((node.args, node.kwargs), keep)
    return found


def _joined(source: fx.Node) -> fx.Node:
    """Return the operator that a ReLU or ReLU6 joins, which stands before it with no quantizer between, or itself."""
    before = source.all_input_nodes
    if source.target in _CLIPS and len(before) == 1 and before[0].target in _JOINABLE and len(before[0].users) == 1:
        return before[0]
    return source


def _limits(node: fx.Node) -> tuple[float | None, float | None]:
    """Return what a node clips its input to."""
    if node.target is aten.relu.default:
        return 0.0, None
    if node.target not in _CLIPS:
        return None, None
    low, high = (-1.0, 1.0) if node.target is aten.hardtanh.default else (None, None)
    given = cast("list[float | None]", [*node.args[1:]])
    return (given[0] if given else low), (given[1] if len(given) > 1 else high)


def _params(node: fx.Node) -> Params:
    """Return scale and zero point of a quantize or dequantize node, for quint8."""
    return float(cast("float", node.args[1])), int(cast("int", node.args[2])) + ZERO_POINT_SHIFT
