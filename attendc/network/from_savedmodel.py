"""The network of a SavedModel of attendc's, from its graph, by TensorFlow's shape inference: nothing is run.

An int8 SavedModel simulates: it rounds with plain operators. Those are read as what they stand for:

1. Cast to integers of Maximum, Minimum, AddV2, Round, Mul is a quantize.
2. Mul of Sub of Cast from integers is a dequantize; where zero stands for zero there is no Sub.
3. A BiasAdd that alone reads a layer belongs to it.
4. An Identity that is an output names what it reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attendc.converters.damage import names_damage
from attendc.converters.read_savedmodel import read_meta_graph
from attendc.network.build import network_of
from attendc.network.shapes import bytes_of, join
from attendc.network.types import Listing, Network, Operation, Product, Quantization, Shape, Tensor

__all__ = ["savedmodel_network"]

_PRODUCTS = {
    "Conv2D": Product("conv"),
    "DepthwiseConv2dNative": Product("conv"),
    "MatMul": Product("matmul"),
    "BatchMatMulV2": Product("matmul"),
}
_ROUNDING = ("Cast", "Maximum", "Minimum", "AddV2", "Round", "Mul")
_SIZES = ("Shape", "Size")


@dataclass(frozen=True)
class _Graph:
    """Nodes by name, the constants among them, and shape and dtype of every tensor that is computed."""

    nodes: Mapping[str, Any]
    constants: Mapping[str, Any]
    known: Mapping[str, tuple[Shape | None, str]]

    def source(self, node: Any, position: int) -> Any:
        """Return the node that an input comes from."""
        return self.nodes[_key(node.input[position]).partition(":")[0]]

    def number(self, node: Any) -> Any:
        """Return the constant that is the second input of a node, None where that is computed."""
        return self.constants.get(_key(node.input[1])) if len(node.input) > 1 else None


@names_damage
def savedmodel_network(path: Path) -> Network:
    """Return the network, in the layout of TensorFlow (N, H, W, C).

    Raises:
        CheckpointError: if the folder is missing, damaged or not attendc's.
    """
    meta = read_meta_graph(path)
    signature = meta.signature_def["serving_default"]
    inputs = tuple(_key(t.name) for t in signature.inputs.values())
    graph = _graph(meta.graph_def, inputs[0])
    tensors = {name: Tensor(name, shape, dtype) for name, (shape, dtype) in graph.known.items()}
    tensors |= {name: _constant(name, value) for name, value in graph.constants.items()}
    operations = _with_biases(_operations(graph))
    ends = {_key(t.name): graph.nodes[_key(t.name)] for t in signature.outputs.values()}
    outputs = {name: _key(n.input[0]) if n.op == "Identity" else name for name, n in ends.items()}  # rule 4
    left = tuple(o for o in operations if o.name in outputs.values() or o.name not in outputs)
    return network_of(Listing(left, tensors, inputs, outputs))


def _graph(definition: Any, image: str) -> _Graph:
    import tensorflow as tf

    nodes = {n.name: n for n in definition.node}
    constants = {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in definition.node if n.op == "Const"}
    one, two = (_shapes(definition, image, images) for images in (1, 2))
    known = {
        name: (None if shape is None else join(shape, two[name][0] or ()), dtype)
        for name, (shape, dtype) in one.items()
    }
    return _Graph(nodes, constants, known)


def _shapes(definition: Any, image: str, images: int) -> dict[str, tuple[list[int] | None, str]]:
    """Return (shape, dtype) of each tensor for so many images."""
    import tensorflow as tf

    sized = type(definition)()
    sized.CopyFrom(definition)
    next(n for n in sized.node if n.name == image).attr["shape"].shape.dim[0].size = images
    graph = tf.Graph()
    with graph.as_default():
        try:
            tf.import_graph_def(sized, name="")
        except tf.errors.OpError as e:
            raise ValueError(e.message) from e
    found = {}
    for tensor in (t for o in graph.get_operations() for t in o.outputs):
        is_known = tensor.shape.is_fully_defined()
        found[_key(tensor.name)] = (tensor.shape.as_list() if is_known else None, tensor.dtype.name)
    return found


def _key(reference: str) -> str:
    """Return `node` of `node:0`, and `node:1` as it is."""
    return reference.removesuffix(":0")


def _constant(name: str, value: Any) -> Tensor:
    shape, dtype = tuple(int(d) for d in value.shape), str(value.dtype)
    return Tensor(name, shape, dtype, bytes=bytes_of(shape, dtype) or value.nbytes)


def _operations(graph: _Graph) -> list[Operation]:
    """Return the operators, those of rules 1 and 2 as one each."""
    back = {n.name: o for n in graph.nodes.values() if (o := _dequantize(graph, n)) is not None}  # rule 2
    meanings = {o.inputs[0]: o.quantization for o in back.values()}
    there = {n.name: o for n in graph.nodes.values() if (o := _quantize(graph, n, meanings)) is not None}  # rule 1
    found = there | back
    wanted = (
        found.get(n.name) or _plain(graph, n) for n in graph.nodes.values() if n.op not in ("Const", "Placeholder")
    )
    return _read_by_others(list(wanted), graph)


def _dequantize(graph: _Graph, node: Any) -> Operation | None:
    scale = graph.number(node) if node.op == "Mul" else None
    if scale is None:
        return None
    inner, zero = graph.source(node, 0), np.zeros(1, np.int64)
    if inner.op == "Sub" and graph.number(inner) is not None:
        zero, inner = graph.number(inner), graph.source(inner, 0)
    source = _key(inner.input[0]) if inner.op == "Cast" else ""
    if not _is_integer(graph, source):
        return None
    return Operation(node.name, "Dequantize", (source,), (node.name,), "dequantize", _meaning(scale, zero))


def _is_integer(graph: _Graph, name: str) -> bool:
    return name in graph.known and graph.known[name][1] in ("int8", "uint8", "int16", "int32")


def _quantize(graph: _Graph, node: Any, meanings: Mapping[str, Quantization | None]) -> Operation | None:
    if node.op != "Cast" or not _is_integer(graph, node.name):
        return None
    chain = [node]
    for op in _ROUNDING[1:]:
        chain.append(graph.source(chain[-1], 0))
        if chain[-1].op != op:
            return None
    inverse, zero = graph.number(chain[5]), graph.number(chain[3])
    if inverse is None or zero is None:
        return None
    own, theirs = _meaning(1 / np.asarray(inverse, np.float64), zero), meanings.get(node.name)
    # The file keeps 1 / scale in float32; the scale itself stands where the tensor is read.
    same = (
        theirs is not None and np.allclose(own.scale, theirs.scale, rtol=1e-6) and own.zero_point == theirs.zero_point
    )
    source = _key(chain[-1].input[0])
    return Operation(node.name, "Quantize", (source,), (node.name,), "quantize", theirs if same else own)


def _meaning(scale: Any, zero: Any) -> Quantization:
    scales, zeros = np.ravel(scale), np.ravel(zero)
    return Quantization(tuple(float(s) for s in scales), tuple(int(z) for z in np.resize(zeros, scales.shape)))


def _plain(graph: _Graph, node: Any) -> Operation:
    outputs = tuple(n for n in graph.known if n == node.name or n.startswith(f"{node.name}:"))
    return Operation(
        node.name,
        node.op,
        tuple(_key(i) for i in node.input if not i.startswith("^")),
        outputs,
        role="shape" if node.op in _SIZES else "compute",
        product=_PRODUCTS.get(node.op),
        detail=_detail(node),
    )


def _detail(node: Any) -> str:
    strides = max(node.attr["strides"].list.i, default=1) if "strides" in node.attr else 1
    return f"stride {strides}" if strides > 1 else ""


def _read_by_others(operations: Iterable[Operation], graph: _Graph) -> list[Operation]:
    """Leave out what nothing reads any more: the operators inside a quantize or a dequantize."""
    left = list(operations)
    ends = {
        n for n in graph.nodes if not any(_key(i).partition(":")[0] == n for o in graph.nodes.values() for i in o.input)
    }
    while True:
        read = {i for o in left for i in o.inputs}
        kept = [o for o in left if o.name in ends or read.intersection(o.outputs)]
        if len(kept) == len(left):
            return kept
        left = kept


def _with_biases(operations: list[Operation]) -> list[Operation]:
    """Join each BiasAdd with the layer that it alone reads: rule 3."""
    readers: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for name in operation.inputs:
            readers[name].append(operation)
    joined: dict[str, Operation] = {}  # by the name of the BiasAdd, in whose place the layer then stands
    for layer in operations:
        after = readers[layer.outputs[0]] if layer.product is not None else []
        if len(after) == 1 and after[0].op == "BiasAdd":
            inputs = (*layer.inputs, after[0].inputs[1])
            joined[after[0].name] = replace(layer, inputs=inputs, outputs=after[0].outputs)
    layers = {o.name for o in joined.values()}
    return [joined.get(o.name, o) for o in operations if o.name not in layers]
