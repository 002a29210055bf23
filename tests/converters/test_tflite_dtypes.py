"""TFLite files of float16, dynamic range and int16: their numbers, their kernels, their border."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import STAMP, Built, changed_tflite
from torch import Tensor

from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.tflite_dynamic import float_activations
from attendc.converters.tflite_float16 import halve_weights
from attendc.converters.tflite_int16 import check_kernels, widen_activations
from attendc.converters.tflite_schema import (
    constant,
    op_name,
    opcode_index,
    quantized_layers,
    read_model,
    set_constant,
    write_model,
)
from attendc.converters.to_tflite import convert_graph, write_tflite
from attendc.derived import dynamic_graph, int16_graph
from attendc.errors import ConversionError
from attendc.layer_diff import layer_distances
from attendc.qdq import output_params, quant_table
from attendc.read_back import unequal_layers
from attendc.runtimes import tflite_interpreter, tflite_runner

pytestmark = pytest.mark.slow  # the shared files are built

DERIVED = {"dynamic": dynamic_graph, "int16": int16_graph}


@pytest.fixture(scope="module")
def converted(built: Built) -> bytes:
    """Return the mixed net in int8 as litert-torch writes it."""
    return convert_graph(built.quantized, STAMP.preprocess, quantized=True)


@pytest.fixture(scope="module")
def by_dtype(
    built: Built, files: dict[str, Path], converted: bytes, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Return the mixed net in all five dtypes."""
    paths = {"int8": files["tflite"], "float32": files["tflite_float32"]}
    folder = tmp_path_factory.mktemp("dtypes")
    for dtype in ("float16", "dynamic", "int16"):
        paths[dtype], stamp = folder / dtype, dataclasses.replace(STAMP, dtype=dtype)
        graph, made = (built.floating, None) if dtype == "float16" else (built.quantized, converted)
        assert write_tflite(paths[dtype], graph, stamp, converted=made) == []
    return paths


def test_int16_is_within_three_of_its_65536_steps(by_dtype: dict[str, Path], built: Built, seen: Tensor) -> None:
    graph = int16_graph(built.quantized)
    off = (tflite_runner(by_dtype["int16"])(seen) - graph(seen)).abs().max()
    assert off <= 3.01 * output_params(graph.graph)[0]


@pytest.mark.parametrize("kernels", ["xnnpack", "plain"])
def test_dynamic_is_within_a_step_of_int8(kernels: str, by_dtype: dict[str, Path], built: Built, seen: Tensor) -> None:
    """Its kernels round the input of a layer to 8 bits, as the int8 file does."""
    off = (tflite_runner(by_dtype["dynamic"], kernels=kernels)(seen) - dynamic_graph(built.quantized)(seen)).abs()  # type: ignore[arg-type]
    assert 0 < off.max() <= 1.01 * output_params(built.quantized.graph)[0]


def test_float16_is_the_float_graph_with_rounded_weights(by_dtype: dict[str, Path], built: Built, seen: Tensor) -> None:
    expected = copy.deepcopy(built.floating)
    for tensor in expected.parameters():
        if tensor.ndim > 1:  # biases stay float32
            tensor.data = tensor.data.half().float()
    assert torch.allclose(tflite_runner(by_dtype["float16"])(seen), expected(seen), atol=1e-5)


@pytest.mark.parametrize("dtype", DERIVED)
def test_every_scale_and_integer_is_the_derived_graphs(dtype: str, by_dtype: dict[str, Path], built: Built) -> None:
    expected, found = quant_table(DERIVED[dtype](built.quantized)), tflite_quant_table(by_dtype[dtype])
    assert set(found.activations.values()) == set(expected.activations.values())
    assert unequal_layers(expected, found) == ""


@pytest.mark.parametrize("dtype", DERIVED)
def test_one_changed_weight_is_seen(dtype: str, by_dtype: dict[str, Path], tmp_path: Path) -> None:
    def change(weight: np.ndarray) -> np.ndarray:
        weight[3, 5] ^= 1
        return weight

    changed = tflite_quant_table(changed_tflite(by_dtype[dtype], tmp_path / "x", change))
    before = tflite_quant_table(by_dtype[dtype])
    assert [n.split("#")[0] for n in before.layers if before.layers[n] != changed.layers[n]] == ["FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("dtype", "bytes_each"), [("float32", 4), ("float16", 2), ("int8", 1), ("dynamic", 1), ("int16", 1)]
)
def test_weights_take_so_many_bytes(dtype: str, bytes_each: int, by_dtype: dict[str, Path]) -> None:
    """The linear layer: 10 x 8 weights."""
    model = read_model(by_dtype[dtype])
    data = [model.buffers[t.buffer].data for t in model.subgraphs[0].tensors if list(t.shape) == [10, 8]]
    assert [len(d) for d in data if d is not None] == [80 * bytes_each]


def test_every_layer_of_int16_is_the_graphs_own(by_dtype: dict[str, Path], built: Built, seen: Tensor) -> None:
    found = layer_distances(int16_graph(built.quantized), "tflite", by_dtype["int16"], seen[:4])
    assert len(found) == 17  # 18 tensors of the graph, one of which a RESHAPE makes that LiteRT needs not
    assert max(one.max_steps for one in found) <= 5  # the look-up tables of LOGISTIC interpolate


# What runs it


@pytest.mark.parametrize(
    ("dtype", "partitions"), [("float32", 1), ("float16", 1), ("int8", 1), ("dynamic", 1), ("int16", 0)]
)
def test_xnnpack_takes_all_but_int16_in_one_partition(dtype: str, partitions: int, by_dtype: dict[str, Path]) -> None:
    operators = tflite_interpreter(by_dtype[dtype], kernels="xnnpack")._get_ops_details()
    assert [o["op_name"] for o in operators].count("DELEGATE") == partitions
    left = 0 if partitions else len(operators)
    taken = {int(i) for o in operators if o["op_name"] == "DELEGATE" for i in o["outputs"]}
    logits = {int(o["outputs"][0]) for o in operators if o["op_name"] == "FULLY_CONNECTED"}
    assert (logits <= taken) == (left == 0)


def test_only_depthwise_weights_are_unpacked(by_dtype: dict[str, Path]) -> None:
    plain, dynamic = (inspect_tflite(by_dtype[k]) for k in ("int8", "dynamic"))
    assert dynamic["ops"] == {**plain["ops"], "DEQUANTIZE": 3}  # of 4 depthwise layers two share a weight
    assert dynamic["inner_quantize_ops"] == 0


def test_int16_computes_nothing_in_float(by_dtype: dict[str, Path]) -> None:
    facts = inspect_tflite(by_dtype["int16"])
    assert (facts["float_ops"], facts["inner_quantize_ops"], facts["transposes"]) == (0, 0, 0)
    assert facts["ops"] == inspect_tflite(by_dtype["int8"])["ops"]


@pytest.mark.parametrize(
    ("dtype", "versions"),
    [
        ("dynamic", {"CONV_2D": 6, "FULLY_CONNECTED": 12, "DEQUANTIZE": 5}),  # 6: a grouped convolution
        ("int16", {"CONV_2D": 6, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 7, "ADD": 3, "LOGISTIC": 3}),
        ("float16", {"DEQUANTIZE": 3}),
    ],
)
def test_an_old_runtime_is_told_what_it_must_know(
    dtype: str, versions: dict[str, int], by_dtype: dict[str, Path]
) -> None:
    model = read_model(by_dtype[dtype])
    assert versions == {name: model.operatorCodes[opcode_index(model, name)].version for name in versions}


def test_an_int16_sum_says_that_its_scales_are_no_powers_of_two(by_dtype: dict[str, Path]) -> None:
    model = read_model(by_dtype["int16"])
    sums = [o for o in model.subgraphs[0].operators if op_name(model, o) == "ADD"]
    assert [o.builtinOptions.potScaleInt16 for o in sums] == [False]


@pytest.mark.parametrize("dtype", ["dynamic", "int16"])
def test_nothing_of_the_int8_file_is_left_unread(dtype: str, by_dtype: dict[str, Path]) -> None:
    model = read_model(by_dtype[dtype])
    graph = model.subgraphs[0]
    read = {int(i) for o in graph.operators for i in (*o.inputs, *o.outputs)}
    assert read == set(range(len(graph.tensors)))
    held = {0, *(int(h.buffer) for h in (*graph.tensors, *model.metadata))}
    assert held == set(range(len(model.buffers)))


def test_an_operator_without_an_int16_kernel_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    model = _with_operator(files["tflite"], "LOGISTIC", "HARD_SWISH")
    widen_activations(model)
    write_model(tmp_path / "x", model)
    with pytest.raises(ConversionError, match=r"LiteRT has no int16 kernel for HARD_SWISH\. Leave int16 out"):
        check_kernels(tmp_path / "x")


def test_an_operator_whose_int16_kernel_is_wrong_is_named(files: dict[str, Path]) -> None:
    model = _with_operator(files["tflite"], "MUL", "DIV")
    with pytest.raises(ConversionError, match="LiteRT's int16 kernel for DIV leaves the scales out"):
        widen_activations(model)


def test_a_weight_too_large_for_float16_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    model = read_model(files["tflite_float32"])
    layer = next(o for o in model.subgraphs[0].operators if op_name(model, o) == "FULLY_CONNECTED")
    tensor = model.subgraphs[0].tensors[layer.inputs[1]]
    weight = constant(model, tensor, np.float32).copy()  # type: ignore[union-attr]
    weight[0, 0] = -70000
    set_constant(model, tensor, weight)
    write_model(tmp_path / "x", model)
    with pytest.raises(ConversionError, match=r"a weight of 70000 is more than float16 holds \(65504\)"):
        halve_weights(tmp_path / "x")


def test_a_layer_that_is_float_stays_so_and_is_counted(files: dict[str, Path]) -> None:
    model = read_model(files["tflite"])
    layer, index = quantized_layers(model)[0]
    tensor = model.subgraphs[0].tensors[index]
    set_constant(model, tensor, constant(model, tensor, np.int8).astype(np.float32))  # type: ignore[union-attr]
    set_constant(model, model.subgraphs[0].tensors[layer.inputs[2]], np.zeros(4, np.float32))
    assert float_activations(model) == ["dynamic: 1 of 9 layers are float in the quantized graph, and stay so"]


# The border


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "dynamic", "int16"])
def test_it_serves_an_image_and_says_what_it_is(dtype: str, by_dtype: dict[str, Path]) -> None:
    interpreter = tflite_interpreter(by_dtype[dtype], kernels="plain")
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    facts = inspect_tflite(by_dtype[dtype])
    assert facts["metadata"]["labels"] == list("abcdefghij")
    border = dtype if dtype in ("int8", "int16") else "float32"
    assert [v["dtype"] for v in (*facts["inputs"], *facts["outputs"])] == [border, border]


def test_int16_takes_floats_but_no_uint8(
    built: Built, converted: bytes, by_dtype: dict[str, Path], seen: Tensor, tmp_path: Path
) -> None:
    stamp = dataclasses.replace(STAMP, dtype="int16")
    assert write_tflite(tmp_path / "f", built.quantized, stamp, io="float32", converted=converted) == []
    assert [v["dtype"] for v in inspect_tflite(tmp_path / "f")["inputs"]] == ["float32"]
    plain, floats = (tflite_runner(p)(seen[:8]) for p in (by_dtype["int16"], tmp_path / "f"))
    assert torch.allclose(plain, floats, atol=1e-5)
    assert write_tflite(tmp_path / "u", built.quantized, stamp, io="uint8", converted=converted) == [
        "int16: LiteRT writes no uint8 from int16, so that input and output are int16"
    ]


def _with_operator(path: Path, old: str, new: str) -> object:
    """Return the model with all operators of one kind turned into another."""
    model = read_model(path)
    index = opcode_index(model, new)
    for operator in model.subgraphs[0].operators:
        if op_name(model, operator) == old:
            operator.opcodeIndex, operator.builtinOptionsType, operator.builtinOptions = index, 0, None
    return model
