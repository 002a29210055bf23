"""The network of a TorchScript file, from its graph with all calls written out.

A TorchScript file has no shapes: where the size of an input is known the graph is run once on zeros, for one image and
for two, and every tensor in it looked at.

The weights of an int8 file are packed for engines, some of them wider, with zeros: bytes are those of what is packed,
MACs those of the layer itself, of which the file tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor as Values

from attendc.converters.damage import names_damage
from attendc.converters.read_torchscript import told_layers
from attendc.converters.to_torchscript import LAYERS_FILE
from attendc.converters.torchscript_int8 import PackedLayer
from attendc.errors import CheckpointError
from attendc.network.build import network_of
from attendc.network.from_graph import details, dtype_name, products
from attendc.network.shapes import bytes_of, join
from attendc.network.types import Listing, Network, Operation, Product, Quantization, Tensor
from attendc.runtimes import load_torchscript

__all__ = ["torchscript_network"]

_Q = torch.ops.quantized
_CONSTANTS = ("prim::Constant", "prim::GetAttr")
_PLUMBING = (*_CONSTANTS, "prim::ListConstruct")
_LAYERS = ("quantized::conv2d", "quantized::linear")
_PACKED = {"Conv2dPackedParamsBase": _Q.conv2d_unpack, "LinearPackedParamsBase": _Q.linear_unpack}


@names_damage
def torchscript_network(path: Path, input_shape: tuple[int, int, int] | None) -> Network:
    """Return the network, in the layout of torch (N, C, H, W); without `input_shape` (C, H, W) shapes are unknown.

    Raises:
        CheckpointError: if the file cannot be read, or does not take such an input.
    """
    extra = {LAYERS_FILE: ""}
    module = load_torchscript(path, extra=extra).eval()
    graph = module.inlined_graph
    seen = _seen(path, module, input_shape)
    nodes = list(graph.nodes())
    stored = {t.name: t for n in nodes if n.kind() in _CONSTANTS for t in _stored(n, seen)}
    values = [v for v in graph.inputs() if _is_tensor(v)]
    values += [o for n in nodes if n.kind() not in _CONSTANTS for o in n.outputs() if _is_tensor(o) or _is_list(o)]
    tensors = {v.debugName(): _tensor(v.debugName(), seen) for v in values} | stored
    own = _own(nodes, told_layers(path, extra[LAYERS_FILE]))
    operations = tuple(_operation(n, tensors, own) for n in nodes if n.kind() not in _PLUMBING and _written(n))
    inputs = tuple(v.debugName() for v in graph.inputs() if _is_tensor(v))
    outputs = {v.debugName(): v.debugName() for v in graph.outputs() if v.debugName() in tensors}
    return network_of(Listing(operations, tensors, inputs, outputs))


def _is_tensor(value: Any) -> bool:
    return bool(value.type().isSubtypeOf(torch._C.TensorType.get()))


def _is_list(value: Any) -> bool:
    return str(value.type()) == "Tensor[]"


def _written(node: Any) -> list[str]:
    return [o.debugName() for o in node.outputs() if _is_tensor(o) or _is_list(o)]


def _seen(path: Path, module: Any, shape: tuple[int, int, int] | None) -> Mapping[str, tuple[Values, Values]]:
    """Return every tensor of the graph by name, as it is for one image and for two."""
    if shape is None:
        return {}
    graph = module.inlined_graph.copy()
    values = [o for n in graph.nodes() if n.kind() != "prim::Constant" for o in n.outputs() if _is_tensor(o)]
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    everything = graph.create("prim::TupleConstruct", values, 1)
    everything.output().setType(torch._C.TupleType([v.type() for v in values]))
    graph.registerOutput(graph.appendNode(everything).output())
    run = torch._C._create_function_from_graph("everything", graph)
    try:
        with torch.no_grad():
            one, two = (run(module._c, torch.zeros(images, *shape)) for images in (1, 2))
    except RuntimeError as e:
        size = "x".join(map(str, shape))
        raise CheckpointError(
            f"{path} does not take an input of {size}: {str(e).strip().splitlines()[-1][:200]}",
            hint="Give another --input-shape CxHxW, or --no-layers",
        ) from e
    found = {v.debugName(): (a, b) for v, a, b in zip(values, one, two, strict=True)}
    given = [v.debugName() for v in graph.inputs() if _is_tensor(v)]
    return found | {name: (torch.zeros(1, *shape), torch.zeros(2, *shape)) for name in given}


def _tensor(name: str, seen: Mapping[str, tuple[Values, Values]]) -> Tensor:
    if name not in seen:
        return Tensor(name, None, "")
    one, two = seen[name]
    return Tensor(name, join(one.shape, two.shape), dtype_name(one.dtype), _quantization(one))


def _quantization(value: Values) -> Quantization | None:
    if not value.is_quantized:
        return None
    if value.qscheme() == torch.per_tensor_affine:
        return Quantization((value.q_scale(),), (value.q_zero_point(),))
    zeros = value.q_per_channel_zero_points().tolist()
    return Quantization(tuple(value.q_per_channel_scales().tolist()), tuple(int(z) for z in zeros))


def _stored(node: Any, seen: Mapping[str, tuple[Values, Values]]) -> list[Tensor]:
    """Return the tensors that a constant holds: weight and bias of a layer that is packed for an engine."""
    name = node.output().debugName()
    if name in seen:
        return [_constant(name, seen[name][0])]
    value = node.output().toIValue() if node.kind() == "prim::Constant" else None
    if isinstance(value, Values):
        return [_constant(name, value)]
    unpack = _PACKED.get(str(node.output().type()).rpartition(".")[2])
    if unpack is None or value is None:
        return []
    weight, bias = unpack(value)
    parts = {f"{name} weight": weight, f"{name} bias": bias}
    return [_constant(key, part) for key, part in parts.items() if part is not None]


def _constant(name: str, value: Values) -> Tensor:
    shape, dtype = tuple(value.shape), dtype_name(value.dtype)
    size = bytes_of(shape, dtype) or math.prod(shape) * value.element_size()
    return Tensor(name, shape, dtype, _quantization(value), size)


def _own(nodes: list[Any], told: list[PackedLayer]) -> dict[str, PackedLayer]:
    """Return by the name of its output each layer as it was before it was packed."""
    layers = [n.output().debugName() for n in nodes if n.kind().startswith(_LAYERS)]
    return dict(zip(layers, told, strict=True)) if len(layers) == len(told) else {}


def _operation(node: Any, tensors: Mapping[str, Tensor], own: Mapping[str, PackedLayer]) -> Operation:
    inputs = tuple(name for value in node.inputs() for name in _read(value, tensors))
    outputs = _written(node)
    space, _, op = node.kind().partition("::")
    product, packed = _product(node, op.removesuffix("_relu")), own.get(outputs[0])
    if product is not None and packed is not None:
        product = replace(product, own=packed.shape)
    return Operation(
        outputs[0],
        op if space == "aten" else node.kind(),
        inputs,
        tuple(outputs),
        product=product,
        detail=_detail(node),
    )


def _detail(node: Any) -> str:
    """Return what of the attributes is not as in most layers."""
    values = list(node.inputs())
    if node.kind().startswith("quantized::conv2d"):
        packed = values[1].toIValue()
        given = {"stride": _Q.conv2d_stride(packed), "groups": _Q.conv2d_groups(packed)}
        return details(given | {"dilation": _Q.conv2d_dilation(packed)})
    names = [a.name for a in torch._C.parse_schema(node.schema()).arguments] if "(" in node.schema() else []
    return details(
        {n: v.toIValue() for n, v in zip(names, values, strict=False) if n in ("stride", "groups", "dilation")}
    )


def _product(node: Any, op: str) -> Product | None:
    names = [a.name for a in torch._C.parse_schema(node.schema()).arguments] if "(" in node.schema() else []
    if "transposed" in names and list(node.inputs())[names.index("transposed")].toIValue():
        return Product("transposed", axis=1)
    return products(op)


def _read(value: Any, tensors: Mapping[str, Tensor]) -> list[str]:
    name = value.debugName()
    if name in tensors:
        return [name]
    if value.node().kind() == "prim::ListConstruct":
        return [n for v in value.node().inputs() for n in _read(v, tensors)]
    return [key for key in (f"{name} weight", f"{name} bias") if key in tensors]
