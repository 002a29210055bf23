"""The layers of SavedModels, int8 TorchScript, the derived TFLite files, and of ONNX files that others made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch
from nets import SMALL, STAMP, Built, raw
from onnx import TensorProto, helper
from torch import nn

from attendc.converters.to_tflite import write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.metrics import count_macs
from attendc.network.from_graph import graph_network
from attendc.network.from_onnx import onnx_network
from attendc.network.from_savedmodel import savedmodel_network
from attendc.network.from_tflite import tflite_network
from attendc.network.from_torchscript import torchscript_network
from attendc.network.rows import totals
from attendc.network.types import Network, Node

pytestmark = pytest.mark.slow  # the shared files are built

TENSORFLOW = {
    "Conv": "Conv2D",
    "Gemm": "MatMul",
    "Clip": "Relu6",
    "Add": "AddV2",
    "Concat": "ConcatV2",
    "AveragePool": "AvgPool",
}
"""ONNX's name of an operator -> TensorFlow's, where they are not the same."""


def scales(network: Network) -> list[tuple[float, int] | None]:
    """Return scale and zero point of what each layer writes."""
    found = [n.outputs[0].quantization for n in network.layers]
    return [None if q is None else (pytest.approx(q.scale[0], rel=1e-6), q.zero_point[0]) for q in found]


def as_nhwc(node: Node) -> tuple[int | str, ...] | None:
    shape = node.outputs[0].shape
    return shape if shape is None or len(shape) != 4 else (shape[0], *shape[2:], shape[1])


@pytest.mark.parametrize("dtype", ["", " int8"])
def test_a_savedmodel_has_the_layers_of_the_onnx_file(
    dtype: str, savedmodels: dict[str, Path], networks: dict[str, Network]
) -> None:
    onnx_like = networks[f"onnx{dtype}"]
    found = savedmodel_network(savedmodels["savedmodel" if dtype else "savedmodel_float32"])
    names = [TENSORFLOW.get(n.op, n.op) for n in onnx_like.layers]
    depthwise = [n == "DepthwiseConv2dNative" for n in (layer.op for layer in found.layers)]
    assert [n.op.replace("DepthwiseConv2dNative", "Conv2D") for n in found.layers] == names
    assert sum(depthwise) == (3 if dtype else 1)  # with the two pools, which in int8 are convolutions
    assert [n.outputs[0].shape for n in found.layers] == [as_nhwc(n) for n in onnx_like.layers]
    assert [n.outputs[0].dtype for n in found.layers] == [n.outputs[0].dtype for n in onnx_like.layers]
    assert scales(found) == scales(onnx_like)
    assert [n.macs for n in found.nodes] == [n.macs for n in onnx_like.nodes]


def test_constants_that_int8_layers_share_count_once_and_keep_their_dtype(
    savedmodels: dict[str, Path], networks: dict[str, Network]
) -> None:
    int8 = 4 * 9 + 4 * 9 + 16 + 8 + 8 + 8 * 2 * 9 + 80  # of convolutions, depthwise and not, and of the linear layer
    int32 = 4 * (4 + 4 + 4 + 2 + 2 + 8 + 10)
    pools = 8 * 4 + 8 * 4  # both have the same weight and a bias of zeros
    found = savedmodel_network(savedmodels["savedmodel"])
    for network in (found, networks["onnx int8"]):
        layers = [n for n in network.layers if n.macs]
        assert {t.dtype for n in layers for t in n.weights} == {"int8", "int32"}
        assert sum({t.name: t.bytes or 0 for n in layers for t in n.weights}.values()) == int8 + int32 + pools


def test_torchscript_int8_has_the_macs_of_its_layers_before_they_were_packed(
    torchscript_int8: Path, networks: dict[str, Network]
) -> None:
    found = torchscript_network(torchscript_int8, (1, 8, 8))
    assert totals(found)["macs"] == totals(networks["graph int8"])["macs"]
    (pool,) = [n for n in found.layers if n.outputs[0].shape == ("N", 8, 2, 2)]
    assert pool.macs == 2 * 2 * 8 * (2 * 2)
    assert (pool.weights[0].shape, pool.weights[0].dtype, pool.detail) == ((8, 8, 3, 3), "qint8", "stride 2")
    assert [t.bytes for t in pool.weights] == [8 * 8 * 9, 8 * 4]
    quantized = {n.outputs[0].quantization for n in found.layers if n.outputs[0].dtype == "quint8"}
    expected = {n.outputs[0].quantization for n in networks["graph int8"].layers if n.outputs[0].quantization}
    own = {(q.scale[0], q.zero_point[0] - 128) for q in quantized if q is not None}
    assert own >= {(q.scale[0], q.zero_point[0]) for q in expected if q is not None}


def test_torchscript_that_tells_of_no_layers_has_the_macs_of_what_is_packed(
    torchscript_int8: Path, tmp_path: Path
) -> None:
    torch.jit.save(torch.jit.load(torchscript_int8), tmp_path / "x.pt")  # without the files beside the code
    macs = totals(torchscript_network(torchscript_int8, (1, 8, 8)))["macs"]
    pools = 2 * 2 * 8 * (8 * 9 - 4) + 8 * (8 * 9 - 4)  # 3x3 from 8 channels in the place of 2x2 from one
    assert totals(torchscript_network(tmp_path / "x.pt", (1, 8, 8)))["macs"] == macs + pools


@pytest.fixture(scope="module")
def derived(files: dict[str, Path], built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    folder, found = tmp_path_factory.mktemp("derived"), {}
    for dtype in ("float16", "dynamic", "int16"):
        graph, source = (built.floating, "tflite_float32") if dtype == "float16" else (built.quantized, "tflite")
        stamp = dataclasses.replace(STAMP, dtype=dtype)
        write_tflite(folder / dtype, graph, stamp, converted=files[source].read_bytes())
        found[dtype] = tflite_network(folder / dtype)
    return found


@pytest.mark.parametrize(
    ("dtype", "activation", "weight", "bias", "like"),
    [
        ("float16", "float32", "float16", "float32", "tflite"),
        ("dynamic", "float32", "int8", "float32", "tflite int8"),
        ("int16", "int16", "int8", "int64", "tflite int8"),
    ],
)
def test_a_tflite_file_of_another_dtype_has_the_same_layers(
    dtype: str,
    activation: str,
    weight: str,
    bias: str,
    like: str,
    derived: dict[str, Network],
    networks: dict[str, Network],
) -> None:
    found = derived[dtype]
    layers = [n for n in found.layers if n.macs]
    assert sorted(n.op for n in found.layers) == sorted(n.op for n in networks[like].layers)
    assert totals(found)["macs"] == totals(networks[like])["macs"]
    assert {n.outputs[0].dtype for n in found.layers} == {activation}
    assert {tuple(t.dtype for t in n.weights) for n in layers} == {(weight, bias)}
    assert all((len(n.weights[0].quantization.scale) > 1) for n in layers if n.weights[0].quantization)
    assert all((n.weights[0].quantization is None) == (dtype == "float16") for n in layers)
    size = {"float16": 2, "int8": 1}[weight]
    assert [n.weights[0].bytes for n in layers if n.op == "FULLY_CONNECTED"] == [80 * size]


class Shaping(nn.Module):
    """A transposed convolution and a reshape whose sizes other exporters compute while the file runs."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.ConvTranspose2d(1, 3, 2, stride=2), nn.Linear(3 * 16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.up(x).flatten(1))
        return y


SHAPING = 8 * 8 * (3 * 2 * 2) + 3 * 16 * 16 * 10


def shaping_onnx(path: Path) -> Path:
    """Write it as some exporters do: Reshape to Concat(Gather(Shape(x), 0), -1)."""
    weights = {"w": (1, 3, 2, 2), "h": (768, 10)}
    made = [helper.make_tensor(n, TensorProto.FLOAT, s, [0.5] * int(torch.Size(s).numel())) for n, s in weights.items()]
    made += [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("first", 0), ("rest", -1))]
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["up"], strides=[2, 2]),
        helper.make_node("Shape", ["up"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "first"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["up", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "h"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", ["n", 1, 8, 8]), ("y", ["n", 10]))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], made)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_arithmetic_on_sizes_in_an_onnx_file_of_another_s_is_no_layer(tmp_path: Path) -> None:
    found = onnx_network(shaping_onnx(tmp_path / "x.onnx"))
    assert [n.op for n in found.layers] == ["ConvTranspose", "Reshape", "MatMul"]
    assert [n.outputs[0].shape for n in found.layers] == [("N", 3, 16, 16), ("N", 768), ("N", 10)]
    assert [n.macs for n in found.layers] == [8 * 8 * 12, 0, 7680]
    assert totals(found)["macs"] == count_macs(Shaping(), SMALL.input_shape) == SHAPING


def test_a_gemm_of_a_transposed_input_sums_over_its_first_axis(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 5], [0.0] * 15)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3]), ("y", [1, 5]))]
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("Gemm", ["t", "w"], ["y"], transA=1)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "x.onnx")
    assert totals(onnx_network(tmp_path / "x.onnx"))["macs"] == 3 * 5


def test_a_transposed_convolution_spreads_each_input_in_every_format(tmp_path: Path) -> None:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(3, 10))
    graph = raw(nn.Sequential(nn.ConvTranspose2d(1, 3, 2, stride=2), pool).eval())
    stamp = dataclasses.replace(STAMP, dtype="float32", calibration="")
    write_torchscript(tmp_path / "x.pt", graph, stamp)
    write_tflite(tmp_path / "x.tflite", graph, stamp)
    read = (
        graph_network(graph),
        torchscript_network(tmp_path / "x.pt", (1, 8, 8)),
        tflite_network(tmp_path / "x.tflite"),
    )
    assert [totals(network)["macs"] for network in read] == [8 * 8 * (3 * 2 * 2) + 3 * 10] * 3
