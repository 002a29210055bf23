"""Back from an ONNX file: what operators it has, in which types, and every scale and integer in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attendc.errors import CheckpointError
from attendc.types import Layer, QuantTable

if TYPE_CHECKING:
    import onnx

__all__ = ["external_files", "inspect_onnx", "load_onnx", "onnx_quant_table"]

_QUANTIZE = ("QuantizeLinear", "DequantizeLinear")
_SHAPE_ONLY = ("Shape", "Gather", "Concat", "Constant", "Unsqueeze", "Squeeze", "Cast", "Slice")
_LAYER_OPS = ("Conv", "Gemm", "MatMul")
_JOINED = ("Relu", "Clip")
_INTEGER_OPS = {
    *_LAYER_OPS,
    *_JOINED,
    *("Add", "Mul", "Sigmoid", "Softmax", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Concat", "Where"),
    *(
        "MaxPool",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Split",
        "Gather",
        "Resize",
        "Pad",
    ),
}
"""What onnxruntime's CPU provider runs in integers between DequantizeLinear and QuantizeLinear. Source: onnxruntime,
core/optimizer/qdq_transformer/selectors_actions, the selectors of qdq_selector_action_transformer.cc."""


def inspect_onnx(path: Path) -> dict[str, Any]:
    """Return `ops` (name -> count), `float_ops`, `transposes`, `inputs`, `outputs`, `metadata`.

    A float operator of a QDQ file is one that does not stand between DequantizeLinear and QuantizeLinear: the
    runtime cannot make it an integer kernel, or one for which it has none. ReLU and Clip that alone read a layer
    belong to it.
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
        "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "ir_version": model.ir_version,
        "inputs": [_value_info(v) for v in model.graph.input],
        "outputs": [_value_info(v) for v in model.graph.output],
        "metadata": {p.key: _parsed(p.value) for p in model.metadata_props},
    }


def onnx_quant_table(path: Path) -> QuantTable:
    """Return (scale, zero point) behind every QuantizeLinear and the integers of every layer, by tensor name."""
    model = load_onnx(path)
    values = _initializers(model)
    producers = {o: n for n in model.graph.node for o in n.output}
    activations = {
        n.input[0]: (float(values[n.input[1]]), int(values[n.input[2]]))
        for n in model.graph.node
        if n.op_type == "QuantizeLinear"
    }
    layers = {
        n.output[0]: _layer(n, producers, values)
        for n in model.graph.node
        if n.op_type in _LAYER_OPS and _has_integer_weight(n, producers, values)
    }
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
    producers = {o: n for n in model.graph.node for o in n.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    names = {i.name for i in model.graph.initializer}

    def computes_in_integers(node: onnx.NodeProto) -> bool:
        inputs = [producers[i].op_type for i in node.input if i in producers]
        outputs = [u.op_type for o in node.output for u in users.get(o, [])]
        joined = node.op_type in _JOINED and inputs and inputs[0] in (*_LAYER_OPS, "Add", "Mul")
        reads = joined or (inputs and all(i in ("DequantizeLinear", *_SHAPE_ONLY) for i in inputs))
        writes = outputs and all(o in ("QuantizeLinear", *_JOINED) for o in outputs)
        return bool(
            node.op_type in _INTEGER_OPS
            and reads
            and writes
            and not any(_is_float_weight(node, i, names) for i in node.input)
        )

    return [
        node.name
        for node in model.graph.node
        if node.op_type not in (*_QUANTIZE, *_SHAPE_ONLY) and not computes_in_integers(node)
    ]


def _is_float_weight(node: onnx.NodeProto, name: str, initializers: set[str]) -> bool:
    return node.op_type in _LAYER_OPS and name in initializers


def _has_integer_weight(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto], values: dict[str, Any]) -> bool:
    source = producers.get(node.input[1])
    return source is not None and source.input[0] in values


def _layer(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto], values: dict[str, Any]) -> Layer:
    weight_node, bias_node = producers[node.input[1]], producers[node.input[2]]
    weight = values[weight_node.input[0]]
    assert weight.dtype == np.int8, f"{node.name} has a weight of {weight.dtype}"
    assert not np.any(values[weight_node.input[2]]), "weights are symmetric"
    return Layer(
        np.ascontiguousarray(weight).tobytes(),
        tuple(weight.shape),
        tuple(float(s) for s in values[weight_node.input[1]]),
        tuple(int(b) for b in values[bias_node.input[0]]),
    )


def _value_info(value: onnx.ValueInfoProto) -> dict[str, Any]:
    import onnx

    kind = value.type.tensor_type
    dims = [d.dim_param or d.dim_value for d in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return {"name": value.name, "shape": dims, "dtype": str(dtype)}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
