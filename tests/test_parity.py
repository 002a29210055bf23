"""Proof, and that it fails when it must."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import SMALL, STAMP, Built, changed_onnx, changed_tflite, reloaded, some
from torch import fx, nn

from attendc.artefacts import Sources, Wish, write_artefacts
from attendc.compress.plan import apply_plan, plan_from_ranges
from attendc.context import Context
from attendc.converters.tflite_schema import op_name, read_model, write_model
from attendc.converters.to_onnx import write_onnx
from attendc.data.images import Dataset
from attendc.errors import AccuracyError, ParityError
from attendc.parity import Gates, Report, check_gates, default_images, verify
from attendc.qdq import quant_table
from attendc.targets import DTYPES, FORMATS, Candidate, is_quantized
from attendc.types import QuantParams

pytestmark = pytest.mark.slow  # whole folders are made and verified

LOOSE = Gates(min_agreement=0.9, max_drop_points=20.0)  # the net is tiny, and 60 images are few
Verify = Callable[..., Report]


@pytest.fixture(scope="module")
def proof(built: Built, mini: Dataset) -> Verify:
    """Return `verify` on 60 images of the mixed net, some of its arguments changed."""

    def run(candidates: Sequence[Candidate], **changed: Any) -> Report:
        arguments = {"network": built.net, "graph": built.quantized, "gates": LOOSE, "context": Context()}
        return verify(candidates, images=some(mini.test, 6), preprocess=SMALL, **{**arguments, **changed})[0]

    return run


def candidates(files: dict[str, Path]) -> list[Candidate]:
    return [Candidate(n.split("_")[0], n.partition("_")[2] or "int8", path) for n, path in files.items()]


@pytest.fixture(scope="module")
def everything(built: Built, tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    """Return every format in every type that it has."""
    wish = Wish(FORMATS, DTYPES)
    sources = Sources(built.floating, built.quantized, STAMP)
    return write_artefacts(tmp_path_factory.mktemp("everything"), sources, wish, Context())


@pytest.fixture(scope="module")
def healthy(proof: Verify, everything: list[Candidate]) -> Report:
    return proof(everything)


# A healthy set


def test_a_healthy_set_passes(healthy: Report) -> None:
    assert (healthy.failures, healthy.accuracy_failures, healthy.passed) == ((), (), True)
    assert (healthy.scales_equal, healthy.weights_equal) == (True, True)
    check_gates(healthy)


def test_everything_is_run_and_the_witness_too(healthy: Report) -> None:
    formats = ("tflite", "onnx", "torchscript", "savedmodel")
    int8 = {"graph", "tflite_reference", *formats}
    floats = {"float", "tflite_float16", "tflite_by_tensorflow_float32", *(f"{f}_float32" for f in formats)}
    others = {"graph_dynamic", "tflite_dynamic", "graph_int16", "tflite_int16"}
    assert set(healthy.accuracy) == int8 | floats | others
    gated = {frozenset((p.a, p.b)) for p in healthy.pairs if p.gated}
    assert len(gated) == math.comb(6, 2) + math.comb(7, 2) + 1 + 1  # all pairs of each family


def test_between_the_families_only_float_is_compared_and_not_gated(healthy: Report) -> None:
    others = {(p.a, p.b) for p in healthy.pairs if not p.gated}
    assert others == {("float", n) for n in healthy.accuracy if is_quantized(n)}


def test_float_files_agree_on_every_image(healthy: Report) -> None:
    floats = [p for p in healthy.pairs if p.a == "float" and p.gated]
    assert [p.top1_agreement for p in floats] == [1.0] * 6


def test_the_report_is_plain_data(healthy: Report) -> None:
    plain = healthy.as_json()
    assert (plain["passed"], plain["images"], plain["pairs"][0]["a"]) == (True, 60, "float")
    assert plain["notes"] == ("tflite_reference saw 60 of 60 images",)


# Tampering


def test_one_weight_of_a_tflite_file(proof: Verify, files: dict[str, Path], tmp_path: Path) -> None:
    path = changed_tflite(files["tflite"], tmp_path / "x", lambda w: w ^ (torch.arange(80).view(10, 8) == 7).numpy())
    report = proof([Candidate("tflite", "int8", path)])
    assert (report.scales_equal, report.weights_equal) == (True, False)
    with pytest.raises(ParityError, match=r"tflite: the integers of 1 layers differ: linear.*--no-gate") as caught:
        check_gates(report)
    assert caught.value.exit_code == 6


def rescaled_tflite(source: Path, target: Path, *, weight: bool) -> Path:
    """Write a copy with one scale of the linear layer's weight, or the scale of its output, 1 % larger."""
    model = read_model(source)
    layer = next(o for o in model.subgraphs[0].operators if op_name(model, o) == "FULLY_CONNECTED")
    quantization = model.subgraphs[0].tensors[layer.inputs[1] if weight else layer.outputs[0]].quantization
    quantization.scale = [quantization.scale[0] * 1.01, *quantization.scale[1:]]
    write_model(target, model)
    return target


@pytest.mark.parametrize(("weight", "equal"), [(True, (True, False)), (False, (False, True))])
def test_one_scale_of_a_tflite_file(
    equal: tuple[bool, bool], proof: Verify, files: dict[str, Path], tmp_path: Path, *, weight: bool
) -> None:
    path = rescaled_tflite(files["tflite"], tmp_path / "x", weight=weight)
    report = proof([Candidate("tflite", "int8", path)])
    assert (report.scales_equal, report.weights_equal) == equal
    with pytest.raises(ParityError, match="tflite: "):
        check_gates(report)


@pytest.mark.parametrize(
    ("name", "change", "equal"),
    [
        ("linear.weight.integers", lambda w: w ^ 1, (True, False)),
        ("linear.weight.scale", lambda s: s * s.dtype.type(1.01), (True, False)),
        ("linear.bias.integers", lambda b: b + 1, (True, False)),
    ],
)
def test_one_number_of_an_onnx_file(
    name: str, change: Any, equal: tuple[bool, bool], proof: Verify, files: dict[str, Path], tmp_path: Path
) -> None:
    path = changed_onnx(files["onnx"], tmp_path / "x", name, change)
    report = proof([Candidate("onnx", "int8", path)])
    assert (report.scales_equal, report.weights_equal) == equal
    with pytest.raises(ParityError, match="onnx: the integers of 1 layers differ: linear"):
        check_gates(report)


def test_one_activation_scale_of_an_onnx_file(proof: Verify, files: dict[str, Path], tmp_path: Path) -> None:
    import onnx

    last = [n for n in onnx.load(files["onnx"]).graph.node if n.op_type == "QuantizeLinear"][-1]
    path = changed_onnx(files["onnx"], tmp_path / "x", last.input[1], lambda s: s * s.dtype.type(1.01))
    report = proof([Candidate("onnx", "int8", path)])
    assert report.scales_equal is False
    with pytest.raises(ParityError, match=r"onnx: 1 scales of the graph are missing \(linear\), 1 are not the graph's"):
        check_gates(report)


def test_disagreement_names_both_runners_and_the_layer(proof: Verify, files: dict[str, Path], tmp_path: Path) -> None:
    path = changed_onnx(files["onnx"], tmp_path / "x", "linear.weight.integers", lambda w: -w)
    report = proof([Candidate("onnx", "int8", path)])
    text = r"graph and onnx agree on \d+\.\d+% of 60 images, 90.00% are due \(first differs at linear"
    with pytest.raises(ParityError, match=text):
        check_gates(report)


def test_a_gate_above_1_cannot_be_reached(proof: Verify, files: dict[str, Path]) -> None:
    report = proof([Candidate("onnx", "int8", files["onnx"])], gates=Gates(1.01, 100.0))
    with pytest.raises(ParityError, match=r"graph and onnx agree on .* 101.00% are due \(no layer stands out"):
        check_gates(report)


def test_a_file_whose_layers_cannot_be_looked_at_is_named_all_the_same(
    proof: Verify, everything: list[Candidate]
) -> None:
    torchscript = next(one for one in everything if one.name == "torchscript")
    report = proof([torchscript], gates=Gates(1.01, 100.0))
    with pytest.raises(ParityError, match=r"graph and torchscript agree on [\d.]+% of 60 images, 101.00% are due\. "):
        check_gates(report)


# Accuracy


@pytest.fixture(scope="module")
def ruined(built: Built, tmp_path_factory: pytest.TempPathFactory) -> fx.GraphModule:
    """Return a quantized graph whose ranges of all but the fixed tensors are 20 times too narrow."""
    shrunk = {n: QuantParams((p.scale[0] / 20,), p.zero_point) for n, p in built.plan.activations.items()}
    kept = {n: p for n, p in built.plan.activations.items() if p.scale == (1 / 256,)}
    plan = plan_from_ranges(built.corrected, {**shrunk, **kept})
    return reloaded(apply_plan(built.corrected, plan), tmp_path_factory.mktemp("ruined"))


def test_lost_accuracy_is_not_lost_parity(proof: Verify, ruined: fx.GraphModule, tmp_path: Path) -> None:
    write_onnx(tmp_path / "x", ruined, STAMP, layers=quant_table(ruined).layers)
    report = proof([Candidate("onnx", "int8", tmp_path / "x")], graph=ruined, gates=Gates(0.9, 1.0))
    assert (report.failures, report.weights_equal, report.passed) == ((), True, False)
    with pytest.raises(
        AccuracyError, match=r"graph reaches .* points lost, 1.0 allowed; onnx reaches .*Try --qat"
    ) as e:
        check_gates(report)
    assert e.value.exit_code == 7


def test_without_labels_there_is_no_accuracy(proof: Verify, ruined: fx.GraphModule) -> None:
    report = proof([], graph=ruined, has_labels=False)
    assert (report.accuracy, report.passed) == ({}, True)


def test_without_a_quantized_graph_nothing_is_read_back(proof: Verify, files: dict[str, Path]) -> None:
    report = proof([Candidate("onnx", "float32", files["onnx_float32"])], graph=None)
    assert (report.scales_equal, report.weights_equal, report.passed) == (None, None, True)


def test_both_kinds_of_failure_are_told_as_parity(healthy: Report) -> None:
    with pytest.raises(ParityError, match=r"^a; b\. "):
        check_gates(dataclasses.replace(healthy, failures=("a", "b"), accuracy_failures=("c",)))


@pytest.mark.parametrize(("kernel", "images"), [(1, 2000), (99, 500)])  # 8*8*kernel^2: 64 and 627,264 MACs a channel
def test_large_networks_are_shown_fewer_images(kernel: int, images: int) -> None:
    net = nn.Conv2d(1, 100, kernel, padding=kernel // 2)
    assert default_images(net, SMALL) == images
