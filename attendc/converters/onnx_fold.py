"""Put the graph's own integers into an exported ONNX model: weights as int8, biases as int32 initializers.

The exporter leaves float weights behind QuantizeLinear -> Clip -> DequantizeLinear, which makes the file no smaller,
and float biases, which keep older onnxruntimes from their integer kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attendc.errors import InternalError
from attendc.types import Layer

if TYPE_CHECKING:
    import onnx

__all__ = ["fold_layers"]

_LAYER_OPS = ("Conv", "Gemm", "Add")


def fold_layers(model: onnx.ModelProto, layers: dict[str, Layer], *, renamed: dict[str, str] | None = None) -> None:
    """Replace weight and bias of every layer, in place.

    A linear layer on more than two dimensions is a MatMul, with its weight as (I, O), and an Add. The exporter names
    outputs after the graph's nodes.

    Args:
        model: what the exporter wrote.
        layers: by the names of the graph's nodes.
        renamed: names of nodes -> what the exporter was told to call their outputs.

    Raises:
        InternalError: if the exporter dropped a layer or gave it another name.
    """
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    nodes = {node.output[0]: node for node in graph.node if node.op_type in _LAYER_OPS}
    for name, layer in layers.items():
        last = nodes.get((renamed or {}).get(name, name))
        if last is None:
            raise InternalError(f"the ONNX exporter kept no layer {name!r}")
        first = last if last.op_type != "Add" else producers[last.input[0]]
        if first.op_type == "Add":
            raise InternalError(f"the ONNX exporter kept no layer {name!r}")
        _fold_weight(graph, first, layer)
        input_scale = _scalar(graph, producers[first.input[0]].input[1], producers)
        _fold_bias(graph, last, layer, input_scale=input_scale)
    _drop_dead(graph)


def _fold_weight(graph: onnx.GraphProto, node: onnx.NodeProto, layer: Layer) -> None:
    weight = np.frombuffer(layer.weight, np.int8).reshape(layer.shape)
    scale = np.asarray(layer.scale, np.float32)
    if node.op_type == "MatMul":
        node.input[1] = _dequantized(graph, node, "weight", weight.T, scale, axis=1)
    else:
        node.input[1] = _dequantized(graph, node, "weight", weight, scale)


def _fold_bias(graph: onnx.GraphProto, node: onnx.NodeProto, layer: Layer, *, input_scale: float) -> None:
    """Let the last input be the bias as int32 with scale = input scale x weight scale, as QLinearConv wants it."""
    scale = np.asarray(layer.scale, np.float32) * np.float32(input_scale)
    bias = np.asarray(layer.bias, np.int32)
    node.input[-1] = _dequantized(graph, node, "bias", bias, scale)


def _dequantized(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    role: str,
    integers: np.ndarray[tuple[int, ...], np.dtype[np.signedinteger]],
    scale: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    *,
    axis: int = 0,
) -> str:
    """Add integers and a per-channel DequantizeLinear before `node`, and return the name of its output."""
    import onnx

    stem = f"{node.output[0]}.{role}"
    zeros = np.zeros(len(scale), integers.dtype)
    names = [f"{stem}.integers", f"{stem}.scale", f"{stem}.zero_point"]
    for name, value in zip(names, (integers, scale, zeros), strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
    made = onnx.helper.make_node("DequantizeLinear", names, [stem], name=f"{stem}.dequantize", axis=axis)
    position = next(i for i, n in enumerate(graph.node) if n.output[0] == node.output[0])
    graph.node.insert(position, made)
    return stem


def _scalar(graph: onnx.GraphProto, name: str, producers: dict[str, onnx.NodeProto]) -> float:
    import onnx

    if name in producers:
        value = onnx.numpy_helper.to_array(producers[name].attribute[0].t)
    else:
        value = onnx.numpy_helper.to_array(next(i for i in graph.initializer if i.name == name))
    return float(value)


def _drop_dead(graph: onnx.GraphProto) -> None:
    """Drop nodes and initializers that nothing reads any more, from the end to the start."""
    wanted = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    initializers = [i for i in graph.initializer if i.name in wanted]
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(initializers)
