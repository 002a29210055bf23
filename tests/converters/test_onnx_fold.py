"""Integers in the place of float weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from nets import Built

from attendc.converters.onnx_fold import fold_layers
from attendc.errors import InternalError
from attendc.qdq import quant_table


def test_a_layer_that_the_exporter_lost_is_a_bug_of_ours(files: dict[str, Path], built: Built) -> None:
    layer = quant_table(built.quantized).layers["linear"]
    with pytest.raises(InternalError, match="the ONNX exporter kept no layer 'renamed'"):
        fold_layers(onnx.load(files["onnx"]), {"renamed": layer})


def test_a_layer_reads_dequantized_integers_of_weight_and_bias(files: dict[str, Path]) -> None:
    graph = onnx.load(files["onnx"]).graph
    producers = {o: n for n in graph.node for o in n.output}
    values = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    gemm = next(n for n in graph.node if n.op_type == "Gemm")
    weight, bias = (producers[i] for i in gemm.input[1:3])
    assert [weight.op_type, bias.op_type] == ["DequantizeLinear"] * 2
    assert (values[weight.input[0]].dtype, values[bias.input[0]].dtype) == (np.int8, np.int32)
    input_scale = values[producers[gemm.input[0]].input[1]]
    assert np.array_equal(values[bias.input[1]], values[weight.input[1]] * input_scale)
