"""The network of an ONNX file, by onnx's own shape inference: nothing is run, and torch is not needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attendc.converters.damage import names_damage
from attendc.converters.read_onnx import load_onnx
from attendc.network.build import network_of
from attendc.network.shapes import bytes_of, join
from attendc.network.types import Listing, Network, Operation, Product, Quantization, Shape, Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["onnx_network"]

_PRODUCTS = {
    "Conv": Product("conv", axis=1),
    "ConvTranspose": Product("transposed", axis=1),
    "Gemm": Product("matmul"),
    "MatMul": Product("matmul"),
    "QLinearConv": Product("conv", weight=3, axis=1),
    "QLinearMatMul": Product("matmul", weight=3),
    "ConvInteger": Product("conv", axis=1),
    "MatMulInteger": Product("matmul"),
}
_ROLES = {"QuantizeLinear": "quantize", "DequantizeLinear": "dequantize", "Shape": "shape", "Size": "shape"}


@names_damage
def onnx_network(path: Path) -> Network:
    """Return the network, in the layout of ONNX (N, C, H, W).

    Raises:
        CheckpointError: if it is no ONNX file, or a damaged one.
    """
    model = load_onnx(path)
    graph = model.graph
    constants = _constants(model)
    known = _inferred(model)
    names = {n for node in graph.node for n in (*node.input, *node.output) if n}
    names |= {v.name for v in (*graph.input, *graph.output)}
    tensors = {n: _tensor(n, constants, known) for n in names | constants.keys()}
    operations = tuple(_operation(node, constants) for node in graph.node if node.op_type != "Constant")
    inputs = tuple(v.name for v in graph.input if v.name not in constants)
    return network_of(Listing(operations, tensors, inputs, {v.name: v.name for v in graph.output}))


def _constants(model: onnx.ModelProto) -> dict[str, Any]:
    """Return the initializers and what Constant nodes write, as arrays."""
    import onnx

    found = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = next((a for a in node.attribute if a.name.startswith("value")), None)
            read: Any = onnx.helper.get_attribute_value(value) if value is not None else []
            is_tensor = isinstance(read, onnx.TensorProto)
            found[node.output[0]] = onnx.numpy_helper.to_array(read) if is_tensor else np.asarray(read)
    return found


def _inferred(model: onnx.ModelProto) -> dict[str, tuple[Shape | None, str]]:
    """Return (shape, dtype) by name; what grows with the images is seen from one image and from two."""
    one, two = (_shapes(model, images) for images in (1, 2))
    return {
        name: (join(sizes, two[name][0] or ()) if sizes is not None else None, dtype)
        for name, (sizes, dtype) in one.items()
        if name in two
    }


def _shapes(model: onnx.ModelProto, images: int) -> dict[str, tuple[list[int] | None, str]]:
    """Infer with each free size of an input set: the first to `images`, the others to 1."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for value in copy.graph.input:
        for position, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_value = images if position == 0 else 1
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
    return {v.name: _sizes(v) for v in (*inferred.input, *inferred.value_info, *inferred.output)}


def _sizes(value: onnx.ValueInfoProto) -> tuple[list[int] | None, str]:
    import onnx

    kind = value.type.tensor_type
    dims = list(kind.shape.dim)
    is_known = kind.HasField("shape") and all(d.HasField("dim_value") for d in dims)
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else ""
    return ([d.dim_value for d in dims] if is_known else None), dtype


def _tensor(name: str, constants: Mapping[str, Any], known: Mapping[str, tuple[Shape | None, str]]) -> Tensor:
    if name in constants:
        array = constants[name]
        shape = tuple(int(d) for d in array.shape)
        return Tensor(name, shape, str(array.dtype), bytes=bytes_of(shape, str(array.dtype)) or array.nbytes)
    shape_found, dtype = known.get(name, (None, ""))
    return Tensor(name, shape_found, dtype)


def _operation(node: onnx.NodeProto, constants: Mapping[str, Any]) -> Operation:
    import onnx

    role: Any = _ROLES.get(node.op_type, "compute")
    inputs = tuple(node.input)
    quantization = _quantization(inputs, constants) if role in ("quantize", "dequantize") else None
    if role in ("quantize", "dequantize") and quantization is None:
        role = "compute"  # its scale is computed while the network runs
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    product = _PRODUCTS.get(node.op_type)
    if node.op_type == "Gemm" and attributes.get("transA"):
        product = Product("matmul", axis=0)
    return Operation(
        next((o for o in node.output if o), node.name),
        node.op_type,
        inputs[:1] if quantization else inputs,
        tuple(o for o in node.output if o),
        role=role,
        quantization=quantization,
        product=product,
        detail=_detail(attributes),
    )


def _quantization(inputs: tuple[str, ...], constants: Mapping[str, Any]) -> Quantization | None:
    if inputs[1] not in constants:
        return None
    scale = np.atleast_1d(constants[inputs[1]])
    zero = constants.get(inputs[2]) if len(inputs) > 2 else None
    points = np.zeros(len(scale), np.int64) if zero is None else np.atleast_1d(zero)
    return Quantization(tuple(float(s) for s in scale), tuple(int(z) for z in points))


def _detail(attributes: Mapping[str, Any]) -> str:
    given: tuple[tuple[str, Callable[[Any], int]], ...] = (("strides", max), ("group", int), ("dilations", max))
    words = {"strides": "stride", "group": "groups", "dilations": "dilation"}
    found = [(words[k], read(attributes[k])) for k, read in given if attributes.get(k)]
    return ", ".join(f"{word} {value}" for word, value in found if value > 1)
