"""Back from a TorchScript file: what operators it has, in which types, and every scale and integer in it.

torch.jit.load is all that a file is given to; nothing of it is run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attendc.converters.to_torchscript import LAYERS_FILE
from attendc.converters.torchscript_conv import unjoined
from attendc.converters.torchscript_int8 import ZERO_POINT_SHIFT, PackedLayer
from attendc.errors import CheckpointError
from attendc.runtimes import load_torchscript
from attendc.types import METADATA_FILE, Layer, QuantTable

__all__ = ["inspect_torchscript", "told_layers", "torchscript_quant_table"]

_Q = torch.ops.quantized
_QUANTIZE, _DEQUANTIZE, _TANH = "aten::quantize_per_tensor", "aten::dequantize", "aten::tanh"
_CONVS = ("quantized::conv2d", "quantized::conv2d_relu")
_LAYERS = (*_CONVS, "quantized::linear", "quantized::linear_relu")
_OUTPUT_OF_TANH = (1 / 128, 0)


def inspect_torchscript(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count), `float_ops`, `float_op_names`, `inputs`, `outputs`, `metadata`.

    A float operator is one that computes a tensor from one that is not quantized. Inputs and outputs are what the
    metadata tells; a TorchScript file has no shapes.

    Raises:
        CheckpointError: if the file cannot be read.
    """
    module, extra = _load(path)
    nodes = list(_computing(module))
    floats = [f"{n.kind().split('::')[1]} %{next(n.outputs()).debugName()}" for n in _float_nodes(nodes)]
    metadata = _parsed(path, extra[METADATA_FILE], {})
    inputs, outputs = _ends(metadata)
    return {
        "format": "torchscript",
        "bytes": path.stat().st_size,
        "ops": dict(sorted(Counter(n.kind() for n in nodes).items())),
        "float_ops": len(floats),
        "float_op_names": floats,
        "inputs": inputs,
        "outputs": outputs,
        "metadata": metadata,
    }


def torchscript_quant_table(path: Path) -> QuantTable:
    """Return (scale, zero point) of every quantized tensor that is computed, and the integers of every layer.

    Zero points are those of int8, and layers have the shapes and names that they had before they were packed.

    Raises:
        CheckpointError: if the file cannot be read, or its layers are not those that it tells of.
    """
    module, extra = _load(path)
    nodes = list(_computing(module))
    told = told_layers(path, extra[LAYERS_FILE])
    layers = [n for n in nodes if n.kind() in _LAYERS]
    if len(told) != len(layers):
        raise CheckpointError(f"{path} has {len(layers)} int8 layers and tells of {len(told)}", hint="Convert it again")
    params = _params_of(nodes)
    negations = {next(n.outputs()).debugName() for n in nodes if _factor(n) is not None}
    activations = {name: p for name, p in params.items() if name not in negations}
    table = {own.name: _layer(path, node, own, params) for own, node in zip(told, layers, strict=True)}
    return QuantTable(activations, table)


def told_layers(path: Path, text: str | bytes) -> list[PackedLayer]:
    """Return the layers that LAYERS_FILE tells of, in the order of their calls; none of an empty text.

    Raises:
        CheckpointError: if it is no such list.
    """
    return [_packed_layer(path, one) for one in _parsed(path, text, [])]


def _load(path: Path) -> tuple[Any, dict[str, Any]]:
    extra: dict[str, Any] = {METADATA_FILE: "", LAYERS_FILE: ""}
    return load_torchscript(path, extra=extra), extra


def _parsed(path: Path, text: str | bytes, default: Any) -> Any:
    if not text:
        return default
    try:
        value = json.loads(text)
    except ValueError as e:
        raise CheckpointError(f"{path} holds metadata that is no JSON", hint="Convert it again") from e
    return value if isinstance(value, type(default)) else default


def _packed_layer(path: Path, told: Any) -> PackedLayer:
    try:
        return PackedLayer(str(told["name"]), tuple(int(d) for d in told["shape"]), int(told["groups"]))
    except (TypeError, KeyError, ValueError) as e:
        raise CheckpointError(f"{path} tells of a layer that is none: {told!r:.100}", hint="Convert it again") from e


def _ends(metadata: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the input and the output are, as the stamp tells it."""
    how, labels = metadata.get("preprocess"), metadata.get("labels")
    if not isinstance(how, dict) or not isinstance(labels, list):
        return [], []
    shape = ["batch", how.get("channels"), how.get("height"), how.get("width")]
    return (
        [{"name": "image", "shape": shape, "dtype": "float32"}],
        [{"name": "logits", "shape": ["batch", len(labels)], "dtype": "float32"}],
    )


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph or a block, and behind each those in its branches."""
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _nodes(block)


def _computing(module: Any) -> Iterator[Any]:
    """Yield the nodes that call an operator which returns a tensor."""
    for node in _nodes(module.inlined_graph):
        if not node.kind().startswith("prim::") and any(_is_tensor(o) for o in node.outputs()):
            yield node


def _is_tensor(value: Any) -> bool:
    return bool(value.type().isSubtypeOf(torch._C.TensorType.get()))


def _operands(node: Any) -> list[Any]:
    """Return the tensors that a node reads, also those in a list."""
    found = []
    for value in node.inputs():
        if _is_tensor(value):
            found.append(value)
        elif value.node().kind() == "prim::ListConstruct":
            found += [v for v in value.node().inputs() if _is_tensor(v)]
    return found


def _float_nodes(nodes: list[Any]) -> list[Any]:
    """Return the nodes that compute with a tensor that is neither quantized nor on its way to be."""
    params = _params_of(nodes)
    return [
        n
        for n in nodes
        if n.kind() not in (_QUANTIZE, _DEQUANTIZE) and any(v.debugName() not in params for v in _operands(n))
    ]


def _params_of(nodes: list[Any]) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of every quantized value, by name."""
    found: dict[str, tuple[float, int]] = {}
    for node in nodes:
        operands = _operands(node)
        for value in operands:
            constant = value.toIValue() if value.node().kind() == "prim::Constant" else None
            if isinstance(constant, Tensor) and constant.is_quantized:
                found[value.debugName()] = (constant.q_scale(), constant.q_zero_point() - ZERO_POINT_SHIFT)
        if node.kind() == _QUANTIZE or (operands and all(v.debugName() in found for v in operands)):
            made = _output_params(node, [found[v.debugName()] for v in operands if node.kind() != _QUANTIZE])
            if made is not None:
                found.update({o.debugName(): made for o in node.outputs()})
    return found


def _output_params(node: Any, given: list[tuple[float, int]]) -> tuple[float, int] | None:
    """Return what a node makes of quantized tensors: what it says itself, or as its first input has it."""
    kind, inputs = node.kind(), list(node.inputs())
    if kind == _DEQUANTIZE:
        return None
    if kind == _TANH:
        return _OUTPUT_OF_TANH
    factor = _factor(node)
    if factor is not None:
        scale, zero_point = given[0]
        return scale * abs(factor), zero_point if factor > 0 else -1 - zero_point
    pair = inputs[1:3] if kind == _QUANTIZE else inputs[-2:] if kind.startswith("quantized::") else []
    values = [_value(v) for v in pair]
    if len(values) == 2 and isinstance(values[0], float) and isinstance(values[1], int):
        return values[0], values[1] - ZERO_POINT_SHIFT
    return given[0] if given and not pair else None


def _factor(node: Any) -> float | None:
    """Return the number by which a node multiplies a tensor, which is how a subtraction begins."""
    inputs = list(node.inputs())
    return float(_value(inputs[1])) if node.kind() == "quantized::mul" and len(inputs) == 2 else None


def _value(value: Any) -> Any:
    """Return a constant, None for what is computed."""
    return value.toIValue() if value.node().kind() == "prim::Constant" else None


def _layer(path: Path, node: Any, own: PackedLayer, params: dict[str, tuple[float, int]]) -> Layer:
    source, packed = list(node.inputs())[:2]
    try:
        is_conv = node.kind() in _CONVS
        weight, bias = (_Q.conv2d_unpack if is_conv else _Q.linear_unpack)(_value(packed))
        groups = _Q.conv2d_groups(_value(packed)) if is_conv else 1
        channels = own.shape[0]
        scale = weight.q_per_channel_scales()[:channels]
        integers = unjoined(weight.int_repr(), groups, own.shape, own.groups)
        steps = bias.detach().double()[:channels] / (scale * params[source.debugName()][0])
    except (RuntimeError, KeyError, AttributeError, IndexError) as e:
        raise CheckpointError(f"{path} holds no packed weight for {own.name}", hint="Convert it again") from e
    return Layer(
        integers.contiguous().numpy().tobytes(),
        tuple(integers.shape),
        tuple(scale.tolist()),
        tuple(int(v) for v in torch.round(steps).tolist()),
    )
