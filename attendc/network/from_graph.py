"""The network of a torch.export graph: of a .pt2, or of a checkpoint after capture."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor as Values, fx

import attendc.qdq  # noqa: F401 - registers quantized_decomposed
from attendc.exported import constant
from attendc.network.build import network_of
from attendc.network.shapes import bytes_of, join
from attendc.network.types import Listing, Network, Operation, Product, Quantization, Shape, Tensor

__all__ = ["details", "dtype_name", "graph_network", "products"]

_Q = torch.ops.quantized_decomposed
_QUANTIZE = (_Q.quantize_per_tensor.default, _Q.quantize_per_channel.default)
_DEQUANTIZE = (_Q.dequantize_per_tensor.default, _Q.dequantize_per_channel.default)

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_PRODUCTS = {
    **dict.fromkeys(_CONVOLUTIONS, Product("conv", axis=1)),
    **dict.fromkeys(_TRANSPOSED, Product("transposed", axis=1)),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm"), Product("matmul")),
    **dict.fromkeys(("addmm", "baddbmm"), Product("matmul", data=1, weight=2)),
    "scaled_dot_product_attention": Product("attention"),
}


def graph_network(gm: fx.GraphModule) -> Network:
    """Return the network of an exported graph with a free batch size, in the layout of torch (N, C, H, W)."""
    nodes = list(gm.graph.nodes)
    tensors = {t.name: t for n in nodes if n.op != "output" for t in _tensors(gm, n)}
    calls = [n for n in nodes if n.op == "call_function" and n.target is not operator.getitem and _tensors(gm, n)]
    operations = tuple(_operation(gm, n) for n in calls)
    inputs = tuple(n.name for n in nodes if n.op == "placeholder")
    returned = [_key(n) for n in nodes[-1].all_input_nodes]
    return network_of(Listing(operations, tensors, inputs, {name: name for name in returned}))


def products(op: str) -> Product | None:
    """Return how the MACs of an aten operator are counted, by its name without overload."""
    return _PRODUCTS.get(op)


def dtype_name(dtype: torch.dtype) -> str:
    """Return `float32` and the like."""
    return str(dtype).removeprefix("torch.")


def _key(node: fx.Node) -> str:
    """Return the name of the tensor that a node stands for; of what a tuple holds `split[0]`."""
    return f"{node.args[0]}[{node.args[1]}]" if node.target is operator.getitem else node.name


def _tensors(gm: fx.GraphModule, node: fx.Node) -> list[Tensor]:
    """Return what a node writes: several of one that returns a tuple, nothing of one that returns numbers."""
    if node.op == "get_attr":
        stored = constant(gm, node)
        shape, dtype = tuple(stored.shape), dtype_name(stored.dtype)
        return [Tensor(node.name, shape, dtype, bytes=bytes_of(shape, dtype) or stored.nbytes)]
    value = node.meta.get("val")
    if isinstance(value, Values):
        return [Tensor(_key(node), _shape(value), dtype_name(value.dtype))]
    several = value if isinstance(value, tuple | list) else ()
    return [Tensor(f"{node.name}[{i}]", _shape(v), dtype_name(v.dtype)) for i, v in enumerate(several) if _is_tensor(v)]


def _is_tensor(value: object) -> bool:
    return isinstance(value, Values)


def _shape(value: Values) -> Shape:
    return join([_size(d, 1) for d in value.shape], [_size(d, 2) for d in value.shape])


def _size(size: Any, images: int) -> int:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, images)))


def _operation(gm: fx.GraphModule, node: fx.Node) -> Operation:
    overload: Any = node.target
    op = str(overload).split(".")[1] if isinstance(overload, torch._ops.OpOverload) else str(overload)
    names = [a.name for a in overload._schema.arguments] if isinstance(overload, torch._ops.OpOverload) else []
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    inputs = tuple(_key(a) for value in given.values() for a in _nodes(value))
    outputs = tuple(t.name for t in _tensors(gm, node))
    if node.target in (*_QUANTIZE, *_DEQUANTIZE):
        role: Any = "quantize" if node.target in _QUANTIZE else "dequantize"
        return Operation(
            node.name, op, inputs[:1], outputs, role=role, quantization=_quantization(gm, node), module=_module(node)
        )
    product = Product("transposed", axis=1) if given.get("transposed") else products(op)
    return Operation(node.name, op, inputs, outputs, product=product, detail=details(given), module=_module(node))


def _nodes(value: object) -> list[fx.Node]:
    found = value if isinstance(value, tuple | list) else [value]
    return [v for v in found if isinstance(v, fx.Node)]


def _quantization(gm: fx.GraphModule, node: fx.Node) -> Quantization:
    scale, zero = node.args[1:3]
    if isinstance(scale, fx.Node) and isinstance(zero, fx.Node):
        scales, zeros = constant(gm, scale), constant(gm, zero)
        return Quantization(tuple(scales.flatten().tolist()), tuple(int(z) for z in zeros.flatten().tolist()))
    return Quantization((float(scale),), (int(zero),))  # type: ignore[arg-type]


def details(given: Mapping[str, Any]) -> str:
    """Return what of the attributes of an aten operator is not as in most layers: `stride 2, groups 16`."""
    found = [(word, given.get(word)) for word in ("stride", "groups", "dilation")]
    numbers = [(word, max(v, default=1) if isinstance(v, tuple | list) else v) for word, v in found if v]
    return ", ".join(f"{word} {value}" for word, value in numbers if isinstance(value, int) and value > 1)


def _module(node: fx.Node) -> str:
    """Return the module's path in the network, as `stages.0.0.attention`; empty where the graph does not tell."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
