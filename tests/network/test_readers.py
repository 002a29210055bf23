"""The same network from every format: layers, shapes, dtypes, scales, MACs, bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nets import SMALL, Built

from attendc.metrics import count_macs
from attendc.network.from_graph import graph_network
from attendc.network.from_torchscript import torchscript_network
from attendc.network.rows import totals
from attendc.network.types import Network, Node

pytestmark = pytest.mark.slow  # the shared files are built

GROUPED = 4 * 4 * 8 * (3 * 3 * 2)  # 8 channels of 4x4, 3x3 from the 2 channels of their group
JOINED = GROUPED  # the int8 TFLite file multiplies by as many zeros: both groups read all 4 channels there


def of(network: Network, *words: str) -> list[Node]:
    return [n for n in network.layers if any(w in n.op.lower().replace("_", "") for w in words)]


@pytest.mark.parametrize("kind", ["graph", "onnx", "torchscript"])
def test_macs_of_float_files_are_those_of_the_network(networks: dict[str, Network], built: Built, kind: str) -> None:
    assert totals(networks[kind])["macs"] == count_macs(built.net, SMALL.input_shape)


@pytest.mark.parametrize("kind", ["graph int8", "tflite int8", "onnx int8"])
def test_int8_files_count_the_pools_that_became_convolutions(
    networks: dict[str, Network], built: Built, kind: str
) -> None:
    pools = 2 * 2 * 8 * (2 * 2) + 8 * (2 * 2)  # 2x2 to 8 channels of 2x2, and the mean over those 2x2
    joined = JOINED if kind == "tflite int8" else 0
    assert totals(networks[kind])["macs"] == count_macs(built.net, SMALL.input_shape) + pools + joined


@pytest.mark.parametrize("kind", ["graph", "onnx", "torchscript", "graph int8", "onnx int8"])
def test_the_grouped_convolution_has_shape_weight_and_macs(networks: dict[str, Network], kind: str) -> None:
    (layer,) = [n for n in of(networks[kind], "conv") if n.weights[0].shape == (8, 2, 3, 3)]
    assert (layer.outputs[0].shape, layer.macs) == (("N", 8, 4, 4), GROUPED)
    size = 1 if "int8" in kind else 4
    assert [t.bytes for t in layer.weights] == [8 * 2 * 9 * size, 8 * 4]


def test_int8_tensors_have_one_scale_and_weights_one_a_channel(networks: dict[str, Network], built: Built) -> None:
    for kind in ("graph int8", "tflite int8", "onnx int8"):
        layers = networks[kind].layers
        floats = {n.name for n in layers if n.outputs[0].dtype != "int8"}
        readers = {
            n.op.lower() for n in layers for e in networks[kind].edges if e.source in floats and e.target == n.name
        }
        assert readers <= {"relu", "hardtanh", "clip"}  # which runtimes join with the layer that they read
        assert all(len(n.outputs[0].quantization.scale) == 1 for n in layers if n.outputs[0].quantization)
        (head,) = of(networks[kind], "linear", "fullyconnected", "gemm")
        assert head.weights[0].quantization is not None
        assert len(head.weights[0].quantization.scale) == 10


def test_the_graph_tells_modules_and_the_file_for_torch_has_free_images(networks: dict[str, Network]) -> None:
    modules = {n.module for n in networks["graph"].layers}
    assert {"stem.0", "depthwise.0", "concat.left", "grouped", "head"} <= modules
    assert networks["graph"].nodes[0].outputs[0].shape == ("N", 1, 8, 8)
    assert networks["tflite"].nodes[0].outputs[0].shape == (1, 8, 8, 1)


@pytest.mark.parametrize("kind", ["graph", "tflite", "onnx", "torchscript", "graph int8", "tflite int8", "onnx int8"])
def test_every_layer_is_reached_from_the_input_and_reaches_the_output(networks: dict[str, Network], kind: str) -> None:
    network = networks[kind]
    assert {e.source for e in network.edges} == {n.name for n in network.nodes if n.op != "output"}
    assert {e.target for e in network.edges} == {n.name for n in network.nodes if n.op != "input"}
    assert len({n.name for n in network.nodes}) == len(network.nodes)


def test_torchscript_without_a_size_has_operators_but_no_shapes(
    files: dict[str, Path], networks: dict[str, Network]
) -> None:
    found = torchscript_network(files["torchscript_float32"], None)
    assert [n.op for n in found.layers] == [n.op for n in networks["torchscript"].layers]
    assert {n.outputs[0].shape for n in found.layers} == {None}
    assert totals(found)["macs"] is None


def test_splits_write_several_tensors() -> None:
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = x.chunk(2, 1)
            return torch.matmul(a, b)

    found = graph_network(torch.export.export(Halves(), (torch.zeros(1, 2, 3, 3),)).module(check_guards=False))
    split, product = found.layers
    assert [t.shape for t in split.outputs] == [(1, 1, 3, 3)] * 2
    assert [e.tensor for e in found.edges if e.target == product.name] == [t.name for t in split.outputs]
    assert product.macs == 3 * 3 * 3


def test_tflite_and_onnx_are_read_without_torch_or_tensorflow(files: dict[str, Path], tmp_path: Path) -> None:
    paths = [shutil.copy(files[kind], tmp_path / f"x.{kind}") for kind in ("tflite", "onnx")]
    code = (
        "import sys; from pathlib import Path; from attendc import CheckpointRequest, inspect_file\n"
        "for p in sys.argv[1:]: assert inspect_file(CheckpointRequest(Path(p)))['layers']\n"
        "print(sorted({'torch', 'tensorflow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
