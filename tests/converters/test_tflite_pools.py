"""Means of whole images: equal weights over 26 pixels or more become MEAN, and everything else stays."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arm.one_op import Op, T, conv, write_ops
from nets import SMALL, STAMP, Built, build
from numpy.typing import NDArray
from torch import Tensor, nn

from attendc.arm.check.partitions import partitions_of
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.tflite_pools import means_of_images
from attendc.converters.tflite_schema import constant, op_name, read_model, write_model
from attendc.converters.to_tflite import convert_graph, write_tflite
from attendc.qdq import quant_table
from attendc.read_back import read_back, reference_graph, unequal_layers, unequal_scales
from attendc.runtimes import tflite_interpreter, tflite_runner
from attendc.same_layer import is_same_mean, mean_layer, takes_mean
from attendc.targets import Candidate
from attendc.types import QuantTable

slow = pytest.mark.slow
STEP = 0.5
RELU, VALID = 1, 1


@dataclass(frozen=True)
class Pool:
    """A depthwise convolution of an image of 6x6 with steps of 0.5 to steps of 0.25 with the zero point 3."""

    height: int = 6
    width: int = 6
    kernel: tuple[int, int] = (6, 6)
    weights: int = 1
    other: int | None = None  # of the very first
    bias: int = 0
    activation: int = 0
    multiplier: int = 1
    share: float = 1.0

    def write(self, folder: Path) -> Path:
        channels = 8 * self.multiplier
        weight = np.full((1, *self.kernel, channels), self.weights, np.int8)
        if self.other is not None:
            weight.flat[0] = self.other
        scale = self.share / self.weights / self.kernel[0] / self.kernel[1]
        rows, columns = (s - k + 1 for s, k in zip((self.height, self.width), self.kernel, strict=True))
        bias = np.full(channels, self.bias, np.int32)
        tensors = {
            "x": T((1, self.height, self.width, 8), scale=(STEP,), zero=(-10,)),
            "w": T(weight.shape, scale=(scale,) * channels, zero=(0,) * channels, value=weight, axis=3),
            "b": T((channels,), "int32", (STEP * scale,) * channels, (0,) * channels, bias),
            "y": T((1, rows, columns, channels), scale=(0.25,), zero=(3,)),
        }
        options = {**conv(padding=VALID, activation=self.activation), "depthMultiplier": self.multiplier}
        op = Op("DEPTHWISE_CONV_2D", ("x", "w", "b"), ("y",), options, "DepthwiseConv2DOptions", 3)
        return write_ops(folder / "pool.tflite", tensors, [op], ["x"], "y")


def names(model: Any) -> list[str]:
    return [op_name(model, o) for o in model.subgraphs[0].operators]


def rewritten(path: Path) -> Path:
    model = read_model(path)
    means_of_images(model)
    target = path.with_name("rewritten.tflite")
    write_model(target, model)
    return target


def answers(path: Path, images: NDArray[np.int8], kernels: Any = "xnnpack") -> NDArray[np.int8]:
    interpreter = tflite_interpreter(path, kernels=kernels)
    source, target = (d[0]["index"] for d in (interpreter.get_input_details(), interpreter.get_output_details()))
    found = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target))
    return np.concatenate(found)


# What is changed


def test_a_mean_of_36_pixels_becomes_mean_over_rows_and_columns(tmp_path: Path) -> None:
    model = read_model(Pool().write(tmp_path))
    assert means_of_images(model) == 1
    (operator,) = model.subgraphs[0].operators
    tensors = model.subgraphs[0].tensors
    read, axes = (tensors[i] for i in operator.inputs)
    written = tensors[operator.outputs[0]]
    assert (op_name(model, operator), operator.builtinOptions.keepDims) == ("MEAN", True)
    assert constant(model, axes, np.int32).tolist() == [1, 2]  # type: ignore[union-attr]
    assert (list(read.shape), list(written.shape)) == ([1, 6, 6, 8], [1, 1, 1, 8])
    assert (read.quantization.scale, read.quantization.zeroPoint) == ([0.5], [-10])
    assert (written.quantization.scale, written.quantization.zeroPoint) == ([0.25], [3])
    assert len(tensors) == 3  # weight and bias are gone
    assert means_of_images(model) == 0


def test_means_of_several_images_share_their_axes(tmp_path: Path) -> None:
    shape, weight = (1, 6, 6, 8), np.full((1, 6, 6, 8), 1, np.int8)
    tensors = {
        "x": T(shape),
        "w": T(shape, scale=(1 / 36,) * 8, zero=(0,) * 8, value=weight, axis=3),
        "b": T((8,), "int32", (0.05 / 36,) * 8, (0,) * 8, np.zeros(8, np.int32)),
        **{name: T((1, 1, 1, 8)) for name in ("1", "2", "y")},
    }
    options = {**conv(padding=VALID), "depthMultiplier": 1}
    pools = [Op("DEPTHWISE_CONV_2D", ("x", "w", "b"), (n,), options, "DepthwiseConv2DOptions", 3) for n in ("1", "2")]
    model = read_model(
        write_ops(tmp_path / "x.tflite", tensors, [*pools, Op("ADD", ("1", "2"), ("y",), {}, "AddOptions")], ["x"], "y")
    )
    assert means_of_images(model) == 2
    first, second, _ = model.subgraphs[0].operators
    assert first.inputs[1] == second.inputs[1]


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(Pool(height=5, width=5, kernel=(5, 5)), id="25 pixels, for which there is a kernel"),
        pytest.param(Pool(height=7), id="two windows"),
        pytest.param(Pool(other=2), id="one weight is larger"),
        pytest.param(Pool(share=2.0), id="a sum, halved"),
        pytest.param(Pool(share=1.00001), id="a little more than the mean"),
        pytest.param(Pool(bias=1), id="a bias"),
        pytest.param(Pool(activation=RELU), id="a ReLU in it"),
        pytest.param(Pool(multiplier=2), id="two outputs of each channel"),
    ],
)
def test_anything_else_stays(pool: Pool, tmp_path: Path) -> None:
    model = read_model(pool.write(tmp_path))
    assert means_of_images(model) == 0
    assert names(model) == ["DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize("pool", [Pool(height=2, width=13, kernel=(2, 13)), Pool(weights=127), Pool(weights=-127)])
def test_26_pixels_of_any_shape_and_weight_are_enough(pool: Pool, tmp_path: Path) -> None:
    assert means_of_images(read_model(pool.write(tmp_path))) == 1


# What is computed then


@pytest.mark.parametrize("kernels", ["xnnpack", "plain", pytest.param("reference", marks=slow)])
def test_a_mean_without_a_rest_is_exact_by_all_kernels(kernels: Any, tmp_path: Path) -> None:
    # Channel c holds c - 4 in half of its pixels and c in the others: (c - 2 + 10) * 0.5 is the mean; in steps of 0.25
    # from 3 on it is 2 * (c + 8) + 3.
    image = np.broadcast_to(np.arange(8), (6, 6, 8)).copy()
    image[:, ::2] -= 4
    found = answers(rewritten(Pool().write(tmp_path)), image[None].astype(np.int8), kernels)
    assert found.ravel().tolist() == [2 * (c + 8) + 3 for c in range(8)]


def test_xnnpack_rounds_as_it_rounds_convolutions_and_takes_it(tmp_path: Path) -> None:
    before = Pool(weights=127).write(tmp_path)
    after = rewritten(before)
    images = np.random.default_rng(0).integers(-40, 40, (200, 6, 6, 8)).astype(np.int8)
    real = (images.astype(np.float64).mean((1, 2)) + 10) * 2 + 3
    for path in (before, after):
        assert np.abs(answers(path, images)[:, 0, 0] - real).max() <= 0.5 + 1e-6
    assert (partitions_of(after).count, partitions_of(after).fallen) == (1, ())


# In the files of a network


class Attentive(nn.Module):
    """A channel gate and a head, both from a mean of 8x8 pixels, and a pool of 2x2 beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        small = nn.functional.avg_pool2d(x, 2)  # 4x4: its mean is over 16 pixels
        ends = [x.mean((2, 3)), small.mean((2, 3)), nn.functional.max_pool2d(small, 4).flatten(1)]
        y: Tensor = self.head(torch.cat(ends, 1))
        return y


@pytest.fixture(scope="module")
def attentive(samples: list[Tensor], tmp_path_factory: pytest.TempPathFactory) -> Built:
    torch.manual_seed(0)
    return build(Attentive().eval(), samples[:8], tmp_path_factory.mktemp("attentive"))


@pytest.fixture(scope="module")
def files(attentive: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a file for each quantized dtype, and `before`, the int8 file as the converter writes it."""
    folder = tmp_path_factory.mktemp("files")
    converted = convert_graph(attentive.quantized, SMALL, quantized=True)
    made = {dtype: folder / f"{dtype}.tflite" for dtype in ("before", "int8", "dynamic", "int16")}
    made["before"].write_bytes(converted)
    for dtype in ("int8", "dynamic", "int16"):
        stamp = dataclasses.replace(STAMP, dtype=dtype)
        write_tflite(made[dtype], attentive.quantized, stamp, converted=converted)
    return made


POOLS = {
    "before": Counter(DEPTHWISE_CONV_2D=5),  # the stem, of one channel; three means and a pool
    "int8": Counter(DEPTHWISE_CONV_2D=3, MEAN=2),
    "dynamic": Counter(DEPTHWISE_CONV_2D=3, MEAN=2),
    "int16": Counter(DEPTHWISE_CONV_2D=5),  # XNNPACK runs none of it
}


@slow
@pytest.mark.parametrize("dtype", POOLS)
def test_files_that_xnnpack_runs_take_large_means_by_mean(dtype: str, files: dict[str, Path]) -> None:
    facts = inspect_tflite(files[dtype])["ops"]
    assert {n: facts.get(n, 0) for n in ("DEPTHWISE_CONV_2D", "MEAN")} == {"MEAN": 0, **POOLS[dtype]}


@slow
@pytest.mark.parametrize("dtype", ["int8", "dynamic", "int16"])
def test_every_scale_and_integer_reads_back(dtype: str, attentive: Built, files: dict[str, Path]) -> None:
    expected, found = quant_table(reference_graph(attentive.quantized, dtype)), tflite_quant_table(files[dtype])
    assert (unequal_layers(expected, found), unequal_scales(expected, found)) == ("", "")


@slow
def test_the_answers_are_those_of_the_convolutions(files: dict[str, Path], seen: Tensor) -> None:
    before, after = (tflite_runner(files[name])(seen[:100]) for name in ("before", "int8"))
    step = inspect_tflite(files["int8"])["outputs"][0]["scale"]
    assert len(before.unique()) > 50
    assert float((after - before).abs().max()) <= step * 1.01


@slow
def test_a_mean_that_is_gone_is_missed(attentive: Built, files: dict[str, Path], tmp_path: Path) -> None:
    model = read_model(files["int8"])
    mean = next(o for o in model.subgraphs[0].operators if op_name(model, o) == "MEAN")
    axes = constant(model, model.subgraphs[0].tensors[mean.inputs[1]], np.int32)
    assert axes is not None
    model.buffers[model.subgraphs[0].tensors[mean.inputs[1]].buffer].data = list(np.array([1, 3], np.int32).tobytes())
    write_model(tmp_path / "model.int8.tflite", model)
    candidate = Candidate("tflite", "int8", tmp_path / "model.int8.tflite")
    assert read_back([candidate], attentive.quantized)[1] is False


# Means as layers


def test_a_mean_reads_back_as_the_convolution_that_it_was_made_of() -> None:
    layer = mean_layer(2, 6, 6)
    assert (layer.shape, layer.weight, layer.bias) == ((2, 1, 6, 6), bytes([127] * 72), (0, 0))
    assert [s * 127 * 36 for s in layer.scale] == pytest.approx([1, 1])
    assert takes_mean(layer)


@pytest.mark.parametrize(
    ("changed", "is_mean"),
    [
        ({"scale": (1 / 36 / 126, 1 / 36 / 126), "weight": bytes([126] * 72)}, True),
        ({"bias": (0, 1)}, False),
        ({"scale": (1 / 36 / 127, 1 / 36 / 126)}, False),
        ({"weight": bytes([*[127] * 71, 126])}, False),
    ],
)
def test_a_layer_is_a_mean_by_what_it_computes(changed: dict[str, Any], is_mean: bool) -> None:
    layer = mean_layer(2, 6, 6)
    assert is_same_mean(dataclasses.replace(layer, **changed), layer) is is_mean


def test_means_of_other_windows_differ() -> None:
    assert not is_same_mean(mean_layer(2, 6, 6), mean_layer(2, 6, 7))


def test_a_mean_that_was_one_in_the_graph_too_is_no_new_layer() -> None:
    expected, found = QuantTable({}, {}), QuantTable({}, {"MEAN#1": mean_layer(2, 6, 6)})
    assert unequal_layers(expected, found) == ""
    assert "differ" in unequal_layers(found, expected)


# On a core


@slow
@pytest.mark.usefixtures("arm_machine")
def test_a_core_counts_a_twentieth_and_gives_the_same_bytes(tmp_path: Path) -> None:
    before = Pool(height=14, width=14, kernel=(14, 14), weights=127).write(tmp_path)
    after = rewritten(before)
    images = np.random.default_rng(0).integers(-128, 128, (8, 14, 14, 8)).astype(np.int8)
    core = core_of("cortex-a76")
    many, few, ran = emulate(core, [Task("count", before), Task("count", after), Task("run", after, images)])
    assert many.instructions is not None
    assert few.instructions is not None
    assert ran.outputs is not None
    called = 5000  # instructions of calling the runtime
    assert (many.instructions - called) / (few.instructions - called) > 20
    assert ran.outputs.tobytes() == answers(after, images).tobytes()
