"""What is no layer does not become one: scales, constants, arithmetic on sizes."""

from __future__ import annotations

import pytest

from attendc.network.build import network_of
from attendc.network.types import INPUT, OUTPUT, Listing, Operation, Product, Quantization, Tensor

FINE, COARSE = Quantization((0.1,), (3,)), Quantization((0.5,), (0,))


def q(source: str, result: str, scale: Quantization = FINE) -> Operation:
    return Operation(result, "quantize", (source,), (result,), "quantize", scale)


def dq(source: str, result: str, scale: Quantization = FINE) -> Operation:
    return Operation(result, "dequantize", (source,), (result,), "dequantize", scale)


def op(name: str, *inputs: str) -> Operation:
    return Operation(name, name.rstrip("0123456789"), inputs, (name,))


def listing(*operations: Operation, output: str, constants: tuple[str, ...] = ()) -> Listing:
    names = {"x", *(n for o in operations for n in (*o.inputs, *o.outputs))}
    integers = {o.outputs[0] for o in operations if o.role == "quantize"}
    tensors = {
        n: Tensor(n, ("N", 4), "int8" if n in integers else "float32", bytes=16 if n in constants else None)
        for n in names
    }
    return Listing(operations, tensors, ("x",), {output: output})


def test_q_and_dq_become_the_scale_of_the_tensor_between() -> None:
    found = network_of(
        listing(q("x", "a"), dq("a", "b"), op("relu", "b"), q("relu", "c", COARSE), dq("c", "d", COARSE), output="d")
    )
    assert [n.op for n in found.nodes] == [INPUT, "relu", OUTPUT]
    given, relu, returned = (n.outputs[0] for n in found.nodes)
    assert (given.dtype, given.quantization) == ("float32", FINE)  # an input keeps the dtype that it is given in
    assert (relu.dtype, relu.quantization) == ("int8", COARSE)
    assert (returned.name, returned.dtype) == ("d", "float32")
    assert [(e.source, e.target) for e in found.edges] == [("x", "relu"), ("relu", "d (output)")]


def test_a_tensor_that_others_read_in_float_keeps_its_quantize() -> None:
    found = network_of(
        listing(op("relu", "x"), q("relu", "a"), dq("a", "b"), op("conv", "b"), op("erf", "relu", "conv"), output="erf")
    )
    assert [n.op for n in found.layers] == ["relu", "quantize", "conv", "erf"]
    assert found.layers[0].outputs[0].dtype == "float32"
    assert (found.layers[1].outputs[0].dtype, found.layers[1].outputs[0].quantization) == ("int8", FINE)


def test_another_scale_for_a_tensor_is_a_layer() -> None:
    found = network_of(
        listing(
            *(
                op("relu", "x"),
                q("relu", "a"),
                dq("a", "b"),
                q("b", "c", COARSE),
                dq("c", "d", COARSE),
                op("conv", "d"),
            ),
            output="conv",
        )
    )
    assert [n.op for n in found.layers] == ["relu", "quantize", "conv"]
    assert [n.outputs[0].quantization for n in found.layers] == [FINE, COARSE, None]


def test_a_quantized_constant_takes_a_byte_a_number_and_is_a_weight() -> None:
    found = network_of(listing(q("w", "a"), dq("a", "b"), op("conv", "x", "b"), output="conv", constants=("w",)))
    (weight,) = found.layers[0].weights
    assert (weight.name, weight.dtype, weight.quantization, weight.bytes) == ("w", "int8", FINE, 4)  # N is 1


def test_what_is_computed_of_constants_is_a_constant() -> None:
    found = network_of(listing(op("permute", "w"), op("conv", "x", "permute"), output="conv", constants=("w",)))
    assert [n.op for n in found.layers] == ["conv"]
    assert [(w.name, w.bytes) for w in found.layers[0].weights] == [("permute", 16)]


def test_arithmetic_on_sizes_is_no_layer() -> None:
    size = Operation("size", "Shape", ("x",), ("size",), "shape")
    found = network_of(
        listing(size, op("gather", "size", "k"), op("reshape", "x", "gather"), output="reshape", constants=("k",))
    )
    assert [n.op for n in found.layers] == ["reshape"]
    assert [(e.source, e.target) for e in found.edges] == [("x", "reshape"), ("reshape", "reshape (output)")]


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ((op("relu", "x"), op("conv", "relu"), op("relu", "conv")), "the tensor relu is written twice"),
        ((op("x", "x"),), "the tensor x is written twice"),
        ((op("conv", "relu"), op("relu", "x")), "conv reads relu before it is written"),
        ((op("conv", "conv"),), "conv reads conv before it is written"),
    ],
)
def test_what_could_not_run_is_no_network(operations: tuple[Operation, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network_of(listing(*operations, output="conv"))


def test_macs_of_a_file_that_takes_four_images_are_those_of_one() -> None:
    shapes = {"x": (4, 6), "w": (10, 6), "y": (4, 10)}
    tensors = {n: Tensor(n, s, "float32", bytes=240 if n == "w" else None) for n, s in shapes.items()}
    product = Operation("y", "Gemm", ("x", "w"), ("y",), product=Product("matmul"))
    assert network_of(Listing((product,), tensors, ("x",), {"y": "y"})).layers[0].macs == 6 * 10
