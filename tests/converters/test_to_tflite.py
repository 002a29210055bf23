"""TFLite files: int8 throughout, no layout operators, and the graph's own numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import STAMP, Built

from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.to_tflite import write_tflite
from attendc.errors import ConversionError, OutputError
from attendc.qdq import output_params, quant_table
from attendc.read_back import unequal_layers


@pytest.fixture(scope="module")
def facts(files: dict[str, Path]) -> dict[str, object]:
    return inspect_tflite(files["tflite"])


def test_nothing_is_float_and_no_layout_is_changed(facts: dict[str, object]) -> None:
    assert (facts["float_ops"], facts["transposes"], facts["inner_quantize_ops"]) == (0, 0, 0)


def test_it_has_one_operator_for_each_of_the_graphs(facts: dict[str, object]) -> None:
    assert facts["ops"] == {
        "ADD": 1,
        "CONCATENATION": 1,
        "CONV_2D": 4,  # gate, concat (2), grouped
        "DEPTHWISE_CONV_2D": 4,  # the stem of one channel, depthwise, two average pools
        "FULLY_CONNECTED": 1,
        "LOGISTIC": 2,
        "MAX_POOL_2D": 1,
        "MUL": 2,
    }


def test_input_and_output_are_int8_in_nhwc(facts: dict[str, list[dict[str, object]]], built: Built) -> None:
    (image,), (logits,) = facts["inputs"], facts["outputs"]
    assert (image["name"], image["shape"], image["dtype"]) == ("image", [1, 8, 8, 1], "int8")
    assert (logits["name"], logits["shape"], logits["dtype"]) == ("logits", [1, 10], "int8")
    assert (logits["scale"], logits["zero_point"]) == output_params(built.quantized.graph)


def test_every_scale_and_integer_is_the_graphs(files: dict[str, Path], built: Built) -> None:
    expected, found = quant_table(built.quantized), tflite_quant_table(files["tflite"])
    assert set(found.activations.values()) == set(expected.activations.values())
    assert unequal_layers(expected, found) == ""


def test_the_stamp_reads_back(facts: dict[str, dict[str, object]]) -> None:
    stamp = facts["metadata"]
    assert (stamp["attendc"], stamp["checkpoint_sha256"]) == ("1.2.3", "5eed" * 16)
    assert (stamp["labels"], stamp["dtype"]) == (list("abcdefghij"), "int8")
    assert stamp["preprocess"]["mean"] == [0.286]  # type: ignore[index]


def test_a_float_file_is_float(files: dict[str, Path]) -> None:
    facts = inspect_tflite(files["tflite_float32"])
    assert facts["inputs"] == [{"name": "image", "shape": [1, 8, 8, 1], "dtype": "float32"}]
    assert facts["float_ops"] > 5
    assert facts["transposes"] == 0


def test_what_cannot_be_converted_leaves_no_file(tmp_path: Path) -> None:
    graph = torch.fx.symbolic_trace(torch.nn.Flatten(5))
    with pytest.raises(ConversionError, match=r"litert-torch cannot convert the graph: .*Run again with -v"):
        write_tflite(tmp_path / "x", graph, STAMP)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_tflite(tmp_path, built.quantized, STAMP)
