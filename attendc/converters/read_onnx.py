"""Back from an ONNX file: what operators it has, in which types, and every scale and integer in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attendc.converters.damage import names_damage
from attendc.errors import CheckpointError
from attendc.types import Layer, QuantTable

if TYPE_CHECKING:
    import onnx

__all__ = ["external_files", "inspect_onnx", "load_onnx", "onnx_quant_table"]

_QUANTIZE = ("QuantizeLinear", "DequantizeLinear")
_SHAPE_ONLY = ("Shape", "Gather", "Concat", "Constant", "Unsqueeze", "Squeeze", "Cast", "Slice")
_LAYER_OPS = ("Conv", "Gemm", "MatMul")
_JOINED = ("Relu", "Clip")
_ARITHMETIC = (
    *(*_LAYER_OPS, "Add", "Mul", "Sigmoid", "Softmax", "LeakyRelu", "AveragePool", "GlobalAveragePool"),
    *("Concat", "Where"),
)
"""Operators that have a kernel with scales and zero points."""
_MOVING = (
    *("MaxPool", "Resize", "DepthToSpace", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"),
    *("Slice", "Split", "Gather", "Expand", "Tile", "Identity"),
)
"""Operators that move integers as they are, if they have the same scale before and after; Resize only if nearest."""
# Both lists: what onnxruntime 1.32 makes of each operator alone between DequantizeLinear and QuantizeLinear, with
# session.qdqisint8allowed as on ARM. On x86 it first turns int8 into uint8, which it can only where one operator alone
# reads a tensor; elsewhere it computes in float.


@names_damage
def inspect_onnx(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count), `float_ops`, `transposes`, `inputs`, `outputs`, `metadata`.

    A float operator of a QDQ file is one that does not stand between DequantizeLinear and QuantizeLinear: the
    runtime cannot make it an integer kernel, or one for which it has none. ReLU and Clip that alone read a layer
    belong to it, and so does the bias that is added behind a MatMul.

    Raises:
        CheckpointError: if it is no readable ONNX file.
    """
    model = load_onnx(path)
    ops = Counter(node.op_type for node in model.graph.node)
    return {
        "format": "onnx",
        "bytes": path.stat().st_size,
        "ops": dict(sorted(ops.items())),
        "float_ops": len(_float_operators(model)),
        "float_op_names": _float_operators(model),
        "transposes": ops["Transpose"],
        "opset": max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0),
        "ir_version": model.ir_version,
        "inputs": [_value_info(v) for v in model.graph.input],
        "outputs": [_value_info(v) for v in model.graph.output],
        "metadata": {p.key: _parsed(p.value) for p in model.metadata_props},
    }


@names_damage
def onnx_quant_table(path: Path) -> QuantTable:
    """Return (scale, zero point) behind every QuantizeLinear and the integers of every layer, by tensor name.

    Raises:
        CheckpointError: if it is no readable ONNX file, or quantized in another way than attendc does.
    """
    model = load_onnx(path)
    links = _Links(model)
    activations = {
        n.input[0]: (float(links.values[n.input[1]]), int(links.values[n.input[2]]))
        for n in model.graph.node
        if n.op_type == "QuantizeLinear"
    }
    layers = dict(
        _layer(n, links) for n in model.graph.node if n.op_type in _LAYER_OPS and _has_integer_weight(n, links)
    )
    return QuantTable(activations, layers)


def external_files(path: Path) -> list[Path]:
    """Return the files beside a readable ONNX file that hold tensors of it."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    tensors = onnx.external_data_helper._get_all_tensors(model)
    names = {e.value for t in tensors if t.data_location == t.EXTERNAL for e in t.external_data if e.key == "location"}
    return [path.parent / name for name in sorted(names)]


def load_onnx(path: Path) -> onnx.ModelProto:
    """Return a file as a valid model, with what it keeps in other files.

    Raises:
        CheckpointError: if it cannot be read, or is no valid ONNX.
    """
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise CheckpointError(
            f"{path} is no readable ONNX file: {reason[0] if reason else type(e).__name__}",
            hint="Convert it again",
        ) from e
    return model


def _initializers(model: onnx.ModelProto) -> dict[str, Any]:
    import onnx

    return {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}


def _float_operators(model: onnx.ModelProto) -> list[str]:
    links = _Links(model)
    return [
        node.name
        for node in model.graph.node
        if node.op_type not in (*_QUANTIZE, *_SHAPE_ONLY) and not _computes_in_integers(node, links)
    ]


class _Links:
    """Who writes and who reads a tensor, and the initializers."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.producers = {o: n for n in model.graph.node for o in n.output}
        self.values = _initializers(model)
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def sources(self, node: onnx.NodeProto) -> list[str]:
        """Return the operators that write the inputs of a node."""
        return [self.producers[i].op_type for i in node.input if i in self.producers]

    def readers(self, node: onnx.NodeProto) -> list[str]:
        """Return the operators that read its outputs; a bias that is added counts as a part of its layer."""
        users = [u for o in node.output for u in self.users.get(o, [])]
        return ["bias" if self.adds_bias(u) else u.op_type for u in users]

    def adds_bias(self, node: onnx.NodeProto) -> bool:
        """Return whether a node adds the bias of a linear layer on more than two dimensions."""
        return node.op_type == "Add" and self.sources(node) == ["MatMul", "DequantizeLinear"]

    def is_float_constant(self, name: str) -> bool:
        """Return whether an initializer is of a float type."""
        return name in self.values and self.values[name].dtype.kind == "f"

    def params(self, name: str) -> tuple[float, ...] | None:
        """Return the scale of the DequantizeLinear that writes a tensor, or of the QuantizeLinear that reads it."""
        for node in (self.producers.get(name), *self.users.get(name, [])):
            if node is not None and node.op_type in _QUANTIZE and node.input[1] in self.values:
                return tuple(float(s) for s in np.ravel(self.values[node.input[1]]))
        return None


def _computes_in_integers(node: onnx.NodeProto, links: _Links) -> bool:
    sources, readers = links.sources(node), links.readers(node)
    if links.adds_bias(node) or (node.op_type in _JOINED and sources[:1] and sources[0] in (*_LAYER_OPS, "Add", "Mul")):
        return all(r in ("QuantizeLinear", *_JOINED) for r in readers)
    if not sources or not readers or not all(s in ("DequantizeLinear", *_SHAPE_ONLY) for s in sources):
        return False
    if not all(r in ("QuantizeLinear", *_JOINED) or (r == "bias" and node.op_type == "MatMul") for r in readers):
        return False
    if node.op_type in _ARITHMETIC:
        return not any(links.is_float_constant(i) for i in node.input)
    nearest = all(a.s == b"nearest" for a in node.attribute if a.name == "mode")
    return (
        node.op_type in _MOVING
        and (node.op_type != "Resize" or nearest)
        and all(links.params(o) == links.params(node.input[0]) for o in node.output)
    )


def _has_integer_weight(node: onnx.NodeProto, links: _Links) -> bool:
    source = links.producers.get(node.input[1])
    return source is not None and source.op_type == "DequantizeLinear" and source.input[0] in links.values


def _layer(node: onnx.NodeProto, links: _Links) -> tuple[str, Layer]:
    """Return the name and the integers of a layer, its weight as torch has it: (O, I) or (O, I, H, W)."""
    values = links.values
    weight_node = links.producers[node.input[1]]
    weight = values[weight_node.input[0]]
    if node.op_type == "MatMul":
        weight = weight.T
    if weight.dtype != np.int8 or np.any(values[weight_node.input[2]]):
        raise ValueError(f"the weight of {node.name} is not symmetric int8")
    last = node
    if node.op_type == "MatMul":
        last = next((u for u in links.users.get(node.output[0], []) if links.adds_bias(u)), node)
    bias_name = last.input[2] if len(last.input) > 2 else last.input[1] if last is not node else ""
    bias = values[links.producers[bias_name].input[0]] if bias_name else np.zeros(len(weight), np.int32)
    return last.output[0], Layer(
        np.ascontiguousarray(weight).tobytes(),
        tuple(weight.shape),
        tuple(float(s) for s in values[weight_node.input[1]]),
        tuple(int(b) for b in bias),
    )


def _value_info(value: onnx.ValueInfoProto) -> dict[str, Any]:
    import onnx

    kind = value.type.tensor_type
    dims = [d.dim_param or (d.dim_value if d.HasField("dim_value") else "?") for d in kind.shape.dim]
    if not value.type.HasField("tensor_type"):
        return {"name": value.name, "shape": dims, "dtype": str(value.type.WhichOneof("value"))}
    return {"name": value.name, "shape": dims, "dtype": str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
