"""Files that are no ONNX, and numbers that were changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
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
