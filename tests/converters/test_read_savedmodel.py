"""What is read back from SavedModels, numbers that were changed, and folders that are none of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import SMALL, STAMP, Built, Call
from torch import nn

from attendc.compress.capture import capture
from attendc.compress.plan import apply_plan, plan_from_ranges
from attendc.converters.read_savedmodel import inspect_savedmodel, savedmodel_quant_table
from attendc.converters.to_savedmodel import write_savedmodel
from attendc.errors import CheckpointError
from attendc.files import tree_bytes
from attendc.qdq import quant_table
from attendc.runtimes import load_tensorflow
from attendc.types import QuantParams

pytestmark = pytest.mark.slow  # TensorFlow is imported


def test_it_has_one_operator_for_each_of_the_float_graphs(savedmodels: dict[str, Path]) -> None:
    facts = inspect_savedmodel(savedmodels["savedmodel_float32"])
    assert facts["ops"] == {
        "AddV2": 1,
        "AvgPool": 2,
        "BiasAdd": 7,  # of each layer
        "ConcatV2": 1,
        "Conv2D": 5,  # stem, gate, concat (2), grouped
        "DepthwiseConv2dNative": 1,
        "Identity": 1,  # the output
        "MatMul": 1,
        "MaxPool": 1,
        "Mul": 2,
        "Relu": 1,
        "Relu6": 1,
        "Reshape": 1,
        "Sigmoid": 2,
    }
    assert (facts["transposes"], facts["bytes"]) == (0, tree_bytes(savedmodels["savedmodel_float32"]))


def test_input_and_output_are_named_and_of_any_batch(savedmodels: dict[str, Path]) -> None:
    facts = inspect_savedmodel(savedmodels["savedmodel"])
    assert facts["inputs"] == [{"name": "image", "shape": [-1, 8, 8, 1], "dtype": "float32"}]
    assert facts["outputs"] == [{"name": "logits", "shape": [-1, 10], "dtype": "float32"}]


def test_the_stamp_reads_back(savedmodels: dict[str, Path]) -> None:
    stamp = inspect_savedmodel(savedmodels["savedmodel"])["metadata"]
    assert (stamp["attendc"], stamp["checkpoint_sha256"]) == ("1.2.3", "5eed" * 16)
    assert (stamp["labels"], stamp["dtype"]) == (list("abcdefghij"), "int8")
    assert stamp["preprocess"]["mean"] == [0.286]


def test_every_scale_and_integer_is_the_graphs(savedmodels: dict[str, Path], built: Built) -> None:
    expected, found = quant_table(built.quantized), savedmodel_quant_table(savedmodels["savedmodel"])
    assert sorted(found.activations.values()) == sorted(expected.activations.values())
    assert sorted(found.layers.values(), key=repr) == sorted(expected.layers.values(), key=repr)


def test_the_filters_of_a_depthwise_layer_come_back_in_torchs_order(tmp_path: Path) -> None:
    """Two filters for each of 4 channels; TensorFlow stores them as (H, W, 4, 2)."""
    torch.manual_seed(0)
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)
    graph = capture(nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4), *ends), SMALL)
    ranges = {n.name: QuantParams((0.1,), (0,)) for n in graph.graph.nodes}
    quantized = apply_plan(graph, plan_from_ranges(graph, ranges))
    write_savedmodel(tmp_path / "x", quantized, STAMP)
    assert inspect_savedmodel(tmp_path / "x")["ops"]["DepthwiseConv2dNative"] == 1
    found = savedmodel_quant_table(tmp_path / "x").layers.values()
    assert list(found) == list(quant_table(quantized).layers.values())


def test_a_difference_of_activations_reads_back(tmp_path: Path) -> None:
    """(x - mean) * 1/scale, the first step of quantizing it, looks like (integers - zero point) * scale."""
    graph = capture(nn.Sequential(nn.Conv2d(1, 4, 1), Call(lambda x: x - x.mean(1, True)), nn.Flatten(1)), SMALL)
    ranges = {n.name: QuantParams((0.1,), (3,)) for n in graph.graph.nodes}
    quantized = apply_plan(graph, plan_from_ranges(graph, ranges))
    write_savedmodel(tmp_path / "x", quantized, STAMP)
    found = savedmodel_quant_table(tmp_path / "x").activations
    assert sorted(found.values()) == sorted(quant_table(quantized).activations.values())


def test_a_float_model_has_no_integers(savedmodels: dict[str, Path]) -> None:
    table = savedmodel_quant_table(savedmodels["savedmodel_float32"])
    assert (table.activations, table.layers) == ({}, {})


def changed(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """Write a copy of a SavedModel, its nodes (by name) changed."""
    load_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(source, target)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((target / "saved_model.pb").read_bytes())
    change({n.name: n for n in saved.meta_graphs[0].graph_def.node})
    (target / "saved_model.pb").write_bytes(saved.SerializeToString())
    return target


def test_one_changed_weight_is_seen(savedmodels: dict[str, Path], tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        tensor = nodes["linear/integers"].attr["value"].tensor
        weight = np.frombuffer(tensor.tensor_content, np.int8).copy()  # (10, 8), as in torch
        weight[3 * 8 + 5] ^= 1
        tensor.tensor_content = weight.tobytes()

    before = savedmodel_quant_table(savedmodels["savedmodel"]).layers
    after = savedmodel_quant_table(changed(savedmodels["savedmodel"], tmp_path / "x", change)).layers
    (name,) = [name for name in before if before[name] != after[name]]
    differs = [i for i, (a, b) in enumerate(zip(before[name].weight, after[name].weight, strict=True)) if a != b]
    assert (name.split("/")[0], differs) == ("linear", [3 * 8 + 5])


def test_a_quantizer_that_its_dequantizer_does_not_undo_is_seen(savedmodels: dict[str, Path], tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["quantize_per_tensor/inverse_scale"].attr["value"].tensor.float_val[0] = 4.0  # a scale of 1 / 4

    table = savedmodel_quant_table(savedmodels["savedmodel"]).activations
    found = savedmodel_quant_table(changed(savedmodels["savedmodel"], tmp_path / "x", change)).activations
    assert {n: p for n, p in found.items() if p not in table.values()} == {
        "quantize_per_tensor/Cast": (0.25, table["image"][1])
    }


def test_a_chain_of_other_operators_is_refused(savedmodels: dict[str, Path], tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["quantize_per_tensor/Round"].op = "Floor"

    path = changed(savedmodels["savedmodel"], tmp_path / "x", change)
    with pytest.raises(CheckpointError, match=r"x is not quantized as attendc does it: .* reads Floor .*, not Round"):
        savedmodel_quant_table(path)


def test_a_graph_with_a_missing_node_is_refused(savedmodels: dict[str, Path], tmp_path: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["linear/MatMul"].name = "lost"

    path = changed(savedmodels["savedmodel_float32"], tmp_path / "x", change)
    with pytest.raises(CheckpointError, match=r"x is no SavedModel of attendc's: its node linear/MatMul is missing"):
        inspect_savedmodel(path)


@pytest.mark.parametrize("read", [inspect_savedmodel, savedmodel_quant_table])
def test_what_is_no_savedmodel_is_named(
    read: Callable[[Path], object], savedmodels: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"nothing is no SavedModel: it holds no saved_model\.pb"):
        read(tmp_path / "nothing")
    file = tmp_path / "saved_model.pb"
    file.write_bytes((savedmodels["savedmodel"] / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"saved_model\.pb is damaged: .*Convert it again"):
        read(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is no SavedModel of attendc's: it has 0 graphs"):
        read(tmp_path)


def test_a_model_that_tensorflow_saved_itself_is_named(tmp_path: Path) -> None:
    tf = load_tensorflow()
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "x"), signatures=module.double)
    with pytest.raises(CheckpointError, match=r"x is no SavedModel of attendc's: its graph calls functions"):
        inspect_savedmodel(tmp_path / "x")


def test_a_damaged_stamp_is_named(savedmodels: dict[str, Path], tmp_path: Path) -> None:
    path = changed(savedmodels["savedmodel"], tmp_path / "x", lambda nodes: None)
    (path / "assets.extra" / "attendc.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"attendc\.json is damaged: "):
        inspect_savedmodel(path)
