"""TorchScript int8: the graph's own integers in torch's quantized kernels, operator by operator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hand_made import INPUT, AfterLayer, Between, Exported, Layer, exported, kept
from nets import STAMP, Built
from torch import Tensor
from torch.nn import functional as F

from attendc.compress.plan import apply_plan
from attendc.converters.read_torchscript import inspect_torchscript, torchscript_quant_table
from attendc.converters.to_torchscript import write_torchscript
from attendc.engines import engines
from attendc.qdq import activation_nodes, output_params, quant_table
from attendc.runtimes import torchscript_runner
from attendc.types import METADATA_FILE

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, int], str]] = {
    "add": (lambda x: x + kept(x[:, :1]), (1 / 32, 5), "quantized::add"),
    "add_relu": (lambda x: torch.relu(x + x), (1 / 64, -128), "quantized::add_relu"),
    "add_relu6": (lambda x: F.hardtanh(x + x, 0, 6), (1 / 16, -128), "aten::hardtanh"),
    "mul": (lambda x: x * x, (1 / 64, -128), "quantized::mul"),
    "sub": (lambda x: x - x, (1 / 64, 9), "quantized::add"),
    "relu": (torch.relu, (1 / 100, -128), "quantized::cat_relu"),
    "relu_of_the_same_scale": (torch.relu, INPUT, "aten::relu"),
    "relu6": (lambda x: F.hardtanh(x, 0, 6), (1 / 120, -100), "quantized::cat_relu"),
    "sigmoid": (torch.sigmoid, (1 / 256, -128), "quantized::sigmoid"),
    "tanh": (torch.tanh, (1 / 128, 0), "aten::tanh"),
    "softmax_of_channels": (lambda x: torch.softmax(x, 1), (1 / 256, -128), "quantized::softmax"),
    "softmax_of_rows": (lambda x: torch.softmax(x, -1), (1 / 256, -128), "quantized::softmax"),
    "hardswish": (F.hardswish, (1 / 90, -100), "quantized::hardswish"),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), (1 / 110, -100), "quantized::leaky_relu"),
    "matmul": (lambda x: x @ kept(x.permute(0, 1, 3, 2)), (1 / 4, 0), "quantized::matmul"),
    "average_pool": (lambda x: F.avg_pool2d(x, 3, 2, 1), INPUT, "aten::avg_pool2d"),
    "max_pool": (lambda x: F.max_pool2d(x, 3, 2, 1), INPUT, "aten::max_pool2d"),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), INPUT, "aten::mean"),
    "amax": (lambda x: x.amax((2, 3)), INPUT, "aten::max"),
    "cat": (lambda x: torch.cat([x, kept(x[:, :2])], 1), INPUT, "quantized::cat"),
    "reshape": (lambda x: x.reshape(x.shape[0], 4, 36), INPUT, "aten::reshape"),
    "permute": (lambda x: x.permute(0, 2, 3, 1), INPUT, "aten::permute"),
    "slice_of_another_scale": (lambda x: x[:, 1:3], (1 / 50, 1), "quantized::cat"),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1)), INPUT, "aten::pad"),
    "pad_by_reflection": (lambda x: F.pad(x, (1, 1, 2, 2), "reflect"), INPUT, "aten::pad"),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), INPUT, "aten::upsample_nearest2d"),
    "bilinear": (lambda x: F.interpolate(x, (9, 9), mode="bilinear"), INPUT, "aten::upsample_bilinear2d"),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), INPUT, "aten::pixel_shuffle"),
    "expand": (lambda x: kept(x[:, :, :1]).expand(-1, -1, 3, -1), INPUT, "aten::expand"),
}
"""Name -> (function of (N, 4, 6, 6), parameters of its output, the kernel in the file)."""

FLOATS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, int]]] = {
    "erf": (torch.erf, (1 / 128, 0)),
    "gelu": (F.gelu, (1 / 100, -100)),
    "mean": (lambda x: x.mean((2, 3)), (1 / 256, 0)),
    "maximum": (lambda x: torch.maximum(x, kept(x[:, :1])), INPUT),
    "hardtanh": (F.hardtanh, (1 / 128, 0)),
    "pad": (lambda x: F.pad(x, (1, 1, 1, 1), "replicate"), INPUT),
}
"""What torch has no kernel for, or none with this scale."""


def written(one: Exported, path: Path) -> Path:
    write_torchscript(path, one.graph, one.stamp)
    return path


def steps_off(one: Exported, path: Path, engine: str) -> float:
    """Return the largest difference of file and graph in steps of the output; batches of 1 and all images."""
    run, scale = torchscript_runner(path, engine), output_params(one.graph.graph)[0]
    return max(float((run(x) - one.graph(x)).abs().max()) / scale for x in (one.x[:1], one.x))


@pytest.fixture(scope="module")
def file(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the mixed net."""
    path = tmp_path_factory.mktemp("torchscript") / "model.int8.ts.pt"
    write_torchscript(path, built.quantized, STAMP)
    return path


@pytest.mark.parametrize("engine", ["", *engines()])
@pytest.mark.parametrize("count", [1, 50])  # traced with 2
def test_a_network_is_within_two_steps_of_its_graph_on_every_engine(
    engine: str, count: int, file: Path, built: Built, seen: Tensor
) -> None:
    y = torchscript_runner(file, engine)(seen[:count])
    assert (y.dtype, tuple(y.shape)) == (torch.float32, (count, 10))
    assert (y - built.quantized(seen[:count])).abs().max() <= 2.01 * output_params(built.quantized.graph)[0]


def test_all_of_a_network_is_in_integers(file: Path, built: Built) -> None:
    facts = inspect_torchscript(file)
    assert (facts["float_ops"], facts["float_op_names"]) == (0, [])
    assert (facts["ops"]["aten::quantize_per_tensor"], facts["ops"]["aten::dequantize"]) == (1, 1)
    expected, found = quant_table(built.quantized), torchscript_quant_table(file)
    assert found.layers == expected.layers
    assert set(found.activations.values()) == set(expected.activations.values())


def test_the_same_graph_gives_the_same_bytes(file: Path, built: Built, tmp_path: Path) -> None:
    write_torchscript(tmp_path / "x", built.quantized, STAMP)
    assert (tmp_path / "x").read_bytes() == file.read_bytes()


def test_the_stamp_reads_back(file: Path) -> None:
    extra = {METADATA_FILE: ""}
    torch.jit.load(str(file), _extra_files=extra)
    stamp = json.loads(extra[METADATA_FILE])
    assert (stamp["checkpoint_sha256"], stamp["dtype"]) == ("5eed" * 16, "int8")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operator_is_a_kernel_within_a_step_on_every_engine(name: str, tmp_path: Path) -> None:
    function, out, kernel = FUNCTIONS[name]
    one = exported(Between(function, out), 4, 6, 6)
    path = written(one, tmp_path / "x")
    facts = inspect_torchscript(path)
    assert kernel in facts["ops"]
    assert facts["float_op_names"] == []
    scales = (set(t.activations.values()) for t in (quant_table(one.graph), torchscript_quant_table(path)))
    assert next(scales) == next(scales)
    assert {e: steps_off(one, path, e) for e in engines()} == dict.fromkeys(engines(), pytest.approx(0.5, abs=0.51))


@pytest.mark.parametrize("name", FLOATS)
def test_an_operator_without_a_kernel_is_float_and_told(name: str, tmp_path: Path) -> None:
    function, out = FLOATS[name]
    one = exported(Between(function, out), 4, 6, 6)
    path = written(one, tmp_path / "x")
    (told,) = inspect_torchscript(path)["float_op_names"]
    assert told.startswith(f"{name} %")
    assert steps_off(one, path, "") <= 1.01


class Broadcast(torch.nn.Module):
    """Operands of which the second, both or none have the shape of the result, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.tensor([1.0, 0.5, 0.25, 2.0]).view(1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = Between(lambda t: kept(self.factors) * t, INPUT)(x)  # type: ignore[arg-type]
        rows, columns = (Between(lambda t, d=d: t.amax(d, keepdim=True), INPUT)(x) for d in (2, 3))  # type: ignore[misc]
        scales = Between(lambda t: columns * t, INPUT)(x)
        return Between(lambda t: rows * columns + scales, (1 / 16, 0))(x)


def test_operands_are_spread_over_each_other(tmp_path: Path) -> None:
    """Torch's kernels size their output by the first operand."""
    one = exported(Broadcast(), 4, 6, 6)
    assert len(activation_nodes(one.graph.graph)) > 4
    path = written(one, tmp_path / "x")
    for engine in engines():
        assert steps_off(one, path, engine) <= 1.01


def test_a_linear_layer_takes_tokens(tmp_path: Path) -> None:
    torch.manual_seed(1)
    layer = Layer(torch.randint(-127, 128, (5, 6)), torch.randint(-900, 900, (5,)), torch.rand(5) / 100 + 0.01)
    one = exported(AfterLayer(layer, (1 / 8, 3), torch.relu), 2, 3, 6)
    path = written(one, tmp_path / "x")
    assert "quantized::linear_relu" in inspect_torchscript(path)["ops"]
    assert torchscript_quant_table(path).layers == quant_table(one.graph).layers
    assert max(steps_off(one, path, e) for e in engines()) <= 1.01


def test_a_partly_quantized_graph_runs_and_tells_its_float_layers(built: Built, seen: Tensor, tmp_path: Path) -> None:
    """Without a scale for its output, the first convolution has no kernel, and what reads it neither."""
    plan = built.plan
    kept = {n: p for n, p in plan.activations.items() if n != "relu"}
    weights = {n: p for n, p in plan.weights.items() if n not in ("conv2d", "conv2d_1")}
    graph = apply_plan(built.corrected, type(plan)(kept, weights), partial=True)
    write_torchscript(tmp_path / "x", graph, STAMP)
    floats = inspect_torchscript(tmp_path / "x")["float_op_names"]
    assert [name.split(" %")[0] for name in floats[:2]] == ["conv2d", "relu"]
    step = output_params(graph.graph)[0]
    assert (torchscript_runner(tmp_path / "x")(seen) - graph(seen)).abs().max() <= 2.01 * step
