"""Files that are no ONNX, and numbers that were changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from attendc.converters.read_onnx import inspect_onnx, onnx_quant_table
from attendc.errors import CheckpointError


@pytest.mark.parametrize("read", [inspect_onnx, onnx_quant_table])
@pytest.mark.parametrize("content", [b"", b"once upon a time"])
def test_what_is_no_onnx_is_named(read: object, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x is no readable ONNX file: .*Convert it again"):
        read(tmp_path / "x")  # type: ignore[operator]


def test_a_cut_file_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(files["onnx"].read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="x is no readable ONNX file"):
        inspect_onnx(tmp_path / "x")


def test_one_changed_weight_is_seen(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(files["onnx"])
    tensor = next(i for i in model.graph.initializer if i.name == "linear.weight.integers")
    weight = onnx.numpy_helper.to_array(tensor).copy()
    weight[3, 5] ^= 1
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, tmp_path / "x")
    before, after = onnx_quant_table(files["onnx"]).layers, onnx_quant_table(tmp_path / "x").layers
    assert [n for n in before if before[n] != after[n]] == ["linear"]
    assert np.count_nonzero(np.frombuffer(before["linear"].weight, np.int8) != weight.ravel()) == 1


def test_a_float_file_counts_its_float_operators(files: dict[str, Path]) -> None:
    facts = inspect_onnx(files["onnx_float32"])
    assert facts["float_ops"] > 10
    assert onnx_quant_table(files["onnx_float32"]).layers == {}


def test_an_operator_whose_quantizer_is_lost_counts_as_float(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(files["onnx"])
    gemm = next(n for n in model.graph.node if n.op_type == "Gemm")
    source = next(n for n in model.graph.node if gemm.input[0] in n.output)
    quantize = next(n for n in model.graph.node if source.input[0] in n.output)
    gemm.input[0] = quantize.input[0]
    onnx.save(model, tmp_path / "x")
    assert gemm.name in inspect_onnx(tmp_path / "x")["float_op_names"]


def test_an_operator_without_an_integer_kernel_counts_as_float(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(files["onnx"])
    sigmoid = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    sigmoid.op_type = "Erf"  # quantized before and after, but onnxruntime computes it in float
    onnx.save(model, tmp_path / "x")
    assert inspect_onnx(tmp_path / "x")["float_op_names"] == [sigmoid.name]


def alone(op: str, constants: tuple[np.ndarray, ...] = (), *, inputs: int = 1, **attributes: object) -> onnx.ModelProto:
    """Return an operator of opset 18 between DequantizeLinear and QuantizeLinear of scale 0.05."""
    nodes, values = [], {"s": np.float32(0.05), "z": np.int8(3)}
    for tensor in [*(f"x{i}" for i in range(inputs)), "y"]:
        if tensor == "y":
            values |= {f"c{i}": c for i, c in enumerate(constants)}
            read = [f"dx{i}" for i in range(inputs)] + [f"c{i}" if c.size else "" for i, c in enumerate(constants)]
            nodes.append(onnx.helper.make_node(op, read, ["y"], name="it", **attributes))
        nodes.append(onnx.helper.make_node("QuantizeLinear", [tensor, "s", "z"], [f"q{tensor}"]))
        nodes.append(onnx.helper.make_node("DequantizeLinear", [f"q{tensor}", "s", "z"], [f"d{tensor}"]))
    given = [onnx.helper.make_tensor_value_info(f"x{i}", 1, (2, 4, 8, 8)) for i in range(inputs)]
    made = onnx.helper.make_tensor_value_info("dy", 1, None)
    stored = [onnx.numpy_helper.from_array(v, n) for n, v in values.items() if v.size]
    graph = onnx.helper.make_graph(nodes, "g", given, [made], stored)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


NONE, TWICE = np.zeros(0, "f"), np.float32([1, 1, 2, 2])
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
ALONE = {
    "add": alone("Add", inputs=2),
    "mul": alone("Mul", inputs=2),
    "sub": alone("Sub", inputs=2),
    "max": alone("Max", inputs=2),
    "matmul": alone("MatMul", inputs=2),
    "add_float": alone("Add", (np.ones(8, "f"),)),
    "sigmoid": alone("Sigmoid"),
    "softmax": alone("Softmax", axis=1),
    "leaky": alone("LeakyRelu"),
    "tanh": alone("Tanh"),
    "hardswish": alone("HardSwish"),
    "erf": alone("Erf"),
    "average": alone("AveragePool", kernel_shape=[2, 2]),
    "global": alone("GlobalAveragePool"),
    "mean": alone("ReduceMean", (np.array([2, 3]),)),
    "norm": alone("LayerNormalization", (np.ones(8, "f"),)),
    "concat": alone("Concat", inputs=2, axis=1),
    "maxpool": alone("MaxPool", kernel_shape=[2, 2]),
    "nearest": alone("Resize", (NONE, TWICE), **NEAREST),
    "linear": alone("Resize", (NONE, TWICE), mode="linear"),
    "depth": alone("DepthToSpace", blocksize=2),
    "space": alone("SpaceToDepth", blocksize=2),
    "pad": alone("Pad", (np.array([0, 0, 1, 1, 0, 0, 1, 1]),)),
    "transpose": alone("Transpose", perm=[0, 2, 3, 1]),
    "reshape": alone("Reshape", (np.array([2, -1]),)),
    "slice": alone("Slice", (np.array([0]), np.array([2]), np.array([1]))),
    "expand": alone("Expand", (np.array([2, 4, 8, 8]),)),
    "tile": alone("Tile", (np.array([1, 1, 2, 1]),)),
}


@pytest.mark.parametrize("name", ALONE)
def test_what_counts_as_float_is_what_onnxruntime_computes_in_float(name: str, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # as on ARM
    onnxruntime.InferenceSession(ALONE[name].SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = [n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node]
    onnx.save(ALONE[name], tmp_path / "x")
    # of an operator on integers there is left one DequantizeLinear, the one behind it
    assert (inspect_onnx(tmp_path / "x")["float_ops"] == 0) == (run.count("DequantizeLinear") == 1)
