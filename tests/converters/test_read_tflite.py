"""Files that are no TFLite, and numbers that were changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.tflite_schema import constant, op_name, opcode_index, read_model, write_model
from attendc.errors import CheckpointError


@pytest.mark.parametrize("read", [inspect_tflite, tflite_quant_table])
@pytest.mark.parametrize("content", [b"", b"once upon a time"])
def test_what_is_no_tflite_is_named(read: object, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x is no TFLite file \(bytes 4\.\.8 are b'.*', not TFL3\)"):
        read(tmp_path / "x")  # type: ignore[operator]


def test_a_cut_file_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(files["tflite"].read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"x is damaged: .*Convert it again"):
        inspect_tflite(tmp_path / "x")


def test_writing_what_was_read_changes_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    write_model(tmp_path / "x", read_model(files["tflite"]))
    assert tflite_quant_table(tmp_path / "x") == tflite_quant_table(files["tflite"])
    assert {**inspect_tflite(tmp_path / "x"), "bytes": 0} == {**inspect_tflite(files["tflite"]), "bytes": 0}


def test_one_changed_weight_is_seen(files: dict[str, Path], tmp_path: Path) -> None:
    model = read_model(files["tflite"])
    layer = next(o for o in model.subgraphs[0].operators if op_name(model, o) == "FULLY_CONNECTED")
    tensor = model.subgraphs[0].tensors[layer.inputs[1]]
    weight = constant(model, tensor, np.int8).copy()  # type: ignore[union-attr]
    weight[3, 5] ^= 1
    model.buffers[tensor.buffer].data = list(weight.tobytes())
    write_model(tmp_path / "x", model)
    before, after = tflite_quant_table(files["tflite"]).layers, tflite_quant_table(tmp_path / "x").layers
    (changed,) = [name for name in before if before[name] != after[name]]
    differs = [i for i, (a, b) in enumerate(zip(before[changed].weight, after[changed].weight, strict=True)) if a != b]
    assert (changed.split("#")[0], differs) == ("FULLY_CONNECTED", [3 * 8 + 5])


def test_an_operator_that_is_there_keeps_its_code(files: dict[str, Path]) -> None:
    model = read_model(files["tflite"])
    count = len(model.operatorCodes)
    assert opcode_index(model, "CONV_2D") < count
    assert opcode_index(model, "QUANTIZE") == count


def test_a_float_file_has_no_quantized_layers(files: dict[str, Path]) -> None:
    assert tflite_quant_table(files["tflite_float32"]).layers == {}
