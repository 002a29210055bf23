"""Back from a SavedModel of attendc's: what operators it has, and every scale and integer in it.

All is read from the graph in the file; nothing is run.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.converters.to_savedmodel import GRAPH_FILE, SIGNATURE, STAMP_FILE
from attendc.errors import CheckpointError
from attendc.files import tree_bytes
from attendc.runtimes import load_tensorflow
from attendc.types import Layer, QuantTable

__all__ = ["inspect_savedmodel", "read_meta_graph", "savedmodel_quant_table"]

_NO_OPERATORS = ("Const", "Placeholder")
_QUANTIZING = ("Maximum", "Minimum", "AddV2", "Round", "Mul")
"""What stands before the Cast to int8, the last first."""
_LAYER_OPS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


@dataclass(frozen=True)
class _Graph:
    """Attributes:
    nodes: by name.
    users: the nodes that read a node, by its name.
    """

    path: Path
    nodes: dict[str, Any]
    users: dict[str, list[Any]]

    def source(self, node: Any, position: int) -> Any:
        """Return the node that an input comes from."""
        return self.nodes[_name(node.input[position])]

    def constant(self, node: Any) -> NDArray[Any] | None:
        """Return the value of a Const, None of any other node."""
        import tensorflow as tf

        value: NDArray[Any] | None = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
        return value


@dataclass(frozen=True)
class _Integers:
    """A quantized constant as it is stored."""

    values: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: int


def inspect_savedmodel(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count, without constants), `transposes`, `inputs`, `outputs`, `metadata`.

    There is no count of float operators: an int8 SavedModel simulates, all of it computes in float32.

    Raises:
        CheckpointError: if the folder is missing, damaged or not attendc's.
    """
    meta = read_meta_graph(path)
    ops = Counter(n.op for n in meta.graph_def.node if n.op not in _NO_OPERATORS)
    signature = meta.signature_def[SIGNATURE]
    return {
        "format": "savedmodel",
        "bytes": tree_bytes(path),
        "ops": dict(sorted(ops.items())),
        "transposes": ops["Transpose"],
        "tensorflow": meta.meta_info_def.tensorflow_version,
        "inputs": [_tensor_info(name, info) for name, info in sorted(signature.inputs.items())],
        "outputs": [_tensor_info(name, info) for name, info in sorted(signature.outputs.items())],
        "metadata": _stamp(path),
    }


def savedmodel_quant_table(path: Path) -> QuantTable:
    """Return (scale, zero point) of every quantized tensor and the integers of every layer, by node name.

    A tensor that is quantized by other numbers than it is dequantized by has an entry for each.

    Raises:
        CheckpointError: if the folder is missing, damaged or not attendc's.
    """
    graph = _graph(path)
    try:
        layers = {n.name: _layer(graph, n) for n in graph.nodes.values() if _is_quantized_layer(graph, n)}
        return QuantTable({**_quantized_tensors(graph), **_quantized_constants(graph)}, layers)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as e:
        raise CheckpointError(
            f"{path} is not quantized as attendc does it: {_first_line(e)}", hint="Convert it again"
        ) from e


def read_meta_graph(path: Path) -> Any:
    """Return the one graph of a SavedModel with its signature, as protobuf.

    Raises:
        CheckpointError: if the folder is missing, damaged or not attendc's.
    """
    file = path / GRAPH_FILE
    if not file.is_file():
        raise CheckpointError(f"{path} is no SavedModel: it holds no {GRAPH_FILE}", hint="Convert it again")
    load_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    saved: Any = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except Exception as e:
        raise CheckpointError(f"{file} is damaged: {_first_line(e)}", hint="Convert it again") from e
    fault = _fault(saved)
    if fault:
        raise CheckpointError(f"{path} is no SavedModel of attendc's: {fault}", hint="Convert it again")
    return saved.meta_graphs[0]


def _fault(saved: Any) -> str:
    """Return what a SavedModel has or lacks that attendc's has not or has, empty if nothing."""
    if len(saved.meta_graphs) != 1:
        return f"it has {len(saved.meta_graphs)} graphs"
    meta = saved.meta_graphs[0]
    if meta.graph_def.library.function:
        return "its graph calls functions"
    signature = meta.signature_def.get(SIGNATURE)
    if signature is None or list(signature.inputs) != ["image"] or list(signature.outputs) != ["logits"]:
        return f"its signature {SIGNATURE} does not take image and give logits"
    names = {n.name for n in meta.graph_def.node}
    read = {_name(i) for n in meta.graph_def.node for i in n.input}
    read |= {_name(t.name) for t in (*signature.inputs.values(), *signature.outputs.values())}
    missing = sorted(read - names)
    return f"its node {missing[0]} is missing" if missing else ""


def _graph(path: Path) -> _Graph:
    nodes = {n.name: n for n in read_meta_graph(path).graph_def.node}
    users: dict[str, list[Any]] = {name: [] for name in nodes}
    for node in nodes.values():
        for name in node.input:
            users[_name(name)].append(node)
    return _Graph(path, nodes, users)


def _name(reference: str) -> str:
    """Return the node of `node:0` or `^node`."""
    return reference.removeprefix("^").partition(":")[0]


def _quantized_tensors(graph: _Graph) -> dict[str, tuple[float, int]]:
    """Return the parameters of each tensor that is quantized while the model runs, by the name of what computes it."""
    found: dict[str, tuple[float, int]] = {}
    for cast in _casts(graph, "DstT", np.int8):
        chain = [cast]
        for op in _QUANTIZING:
            chain.append(graph.source(chain[-1], 0))
            if chain[-1].op != op:
                raise ValueError(f"{cast.name} reads {chain[-1].op} {chain[-1].name}, not {op}")
        source = _name(chain[-1].input[0])
        inverse = np.float32(_number(graph, chain[-1]))
        zero_point = int(_number(graph, chain[3]))
        for reader in graph.users[cast.name]:
            scale, theirs = _dequantized(graph, reader)
            found[reader.name if source in found else source] = (float(scale), theirs)
            if (np.float32(1 / float(scale)), theirs) != (inverse, zero_point):
                found[cast.name] = (float(1 / inverse), zero_point)
    return found


def _casts(graph: _Graph, key: str, dtype: type) -> list[Any]:
    import tensorflow as tf

    wanted = tf.as_dtype(dtype).as_datatype_enum
    return [n for n in graph.nodes.values() if n.op == "Cast" and n.attr[key].type == wanted]


def _number(graph: _Graph, node: Any) -> float:
    """Return the constant that is the second input of a node."""
    value = graph.constant(graph.source(node, 1))
    if value is None:
        raise ValueError(f"{node.name} has no constant")
    return float(value)


def _dequantized(graph: _Graph, cast: Any) -> tuple[np.float32, int]:
    """Return (scale, zero point) of (float(q) - zero point) * scale, from the cast on."""
    (subtract,) = graph.users[cast.name]
    (multiply,) = graph.users[subtract.name]
    if (subtract.op, multiply.op) != ("Sub", "Mul"):
        raise ValueError(f"{cast.name} is read by {subtract.op} and {multiply.op}, not Sub and Mul")
    return np.float32(_number(graph, multiply)), int(_number(graph, subtract))


def _integers(graph: _Graph, node: Any) -> _Integers | None:
    """Return the quantized constant whose real numbers `node` gives, None if it is none."""
    if node.op != "Mul":
        return None
    inner, scale = graph.source(node, 0), graph.constant(graph.source(node, 1))
    zero_point = 0
    if inner.op == "Sub":
        offset = graph.constant(graph.source(inner, 1))
        if offset is None:  # a difference of two activations, on its way to be quantized
            return None
        zero_point, inner = int(offset), graph.source(inner, 0)
    values = graph.constant(graph.source(inner, 0)) if inner.op == "Cast" else None
    return None if values is None or scale is None else _Integers(values, scale, zero_point)


def _quantized_constants(graph: _Graph) -> dict[str, tuple[float, int]]:
    """Return the parameters of int8 constants that are no weights of layers."""
    found = {}
    for node in graph.nodes.values():
        held = _integers(graph, node)
        if held is None or held.values.dtype != np.int8:
            continue
        if not any(_is_quantized_layer(graph, u) for u in graph.users[node.name]):
            found[node.name] = (float(held.scale), held.zero_point)
    return found


def _is_quantized_layer(graph: _Graph, node: Any) -> bool:
    """Return whether a node has an int8 weight and an int32 bias, as every layer of a quantized graph has."""
    if node.op not in _LAYER_OPS:
        return False
    weight = _integers(graph, graph.source(node, 1))
    return weight is not None and weight.values.dtype == np.int8 and _bias(graph, node) is not None


def _bias(graph: _Graph, node: Any) -> NDArray[Any] | None:
    added = [u for u in graph.users[node.name] if u.op == "BiasAdd"]
    held = _integers(graph, graph.source(added[0], 1)) if added else None
    return None if held is None or held.values.dtype != np.int32 else held.values


def _layer(graph: _Graph, node: Any) -> Layer:
    weight, bias = _integers(graph, graph.source(node, 1)), _bias(graph, node)
    assert weight is not None, "a quantized layer has integers"
    assert bias is not None, "a quantized layer has integers"
    if node.op == "Conv2D":
        values, scale = weight.values.transpose(3, 2, 0, 1), weight.scale  # from (H, W, I, O)
    elif node.op == "DepthwiseConv2dNative":
        height, width, *_ = weight.values.shape  # (H, W, C, M)
        values = weight.values.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)
        scale = np.broadcast_to(weight.scale, weight.values.shape[2:])
    else:
        values, scale = weight.values, weight.scale
    scales = np.broadcast_to(scale.ravel(), len(values)) if scale.size == 1 else scale.ravel()
    return Layer(
        np.ascontiguousarray(values).tobytes(),
        tuple(values.shape),
        tuple(float(s) for s in scales),
        tuple(int(b) for b in bias),
    )


def _tensor_info(name: str, info: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {
        "name": name,
        "shape": [int(d.size) for d in info.tensor_shape.dim],
        "dtype": tf.as_dtype(info.dtype).name,
    }


def _stamp(path: Path) -> dict[str, Any]:
    file = path / STAMP_FILE
    if not file.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise CheckpointError(f"{file} is damaged: {_first_line(e)}", hint="Convert it again") from e
    return content


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
