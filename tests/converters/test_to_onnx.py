"""ONNX files: valid, integer, for any batch, and with the graph's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from nets import STAMP, Built, build
from torch import Tensor, nn

from attendc.converters.read_onnx import inspect_onnx, onnx_quant_table
from attendc.converters.to_onnx import write_onnx
from attendc.errors import ConversionError, OutputError, UsageError
from attendc.qdq import output_params, quant_table
from attendc.runtimes import onnx_runner


@pytest.mark.parametrize("name", ["onnx", "onnx_float32"])
def test_it_is_valid_and_of_the_pinned_versions(name: str, files: dict[str, Path]) -> None:
    model = onnx.load(files[name])
    onnx.checker.check_model(model, full_check=True)
    facts = inspect_onnx(files[name])
    assert (facts["opset"], facts["ir_version"]) == (18, 8)
    assert [(o.domain, o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")] == [("", 18)]


@pytest.mark.parametrize("name", ["onnx", "onnx_float32"])
def test_the_batch_is_free(name: str, files: dict[str, Path], seen: Tensor) -> None:
    facts = inspect_onnx(files[name])
    assert facts["inputs"] == [{"name": "image", "shape": ["batch", 1, 8, 8], "dtype": "float32"}]
    assert facts["outputs"] == [{"name": "logits", "shape": ["batch", 10], "dtype": "float32"}]
    run = onnx_runner(files[name])
    assert torch.allclose(run(seen[:1]), run(seen)[:1], atol=1e-5)


def test_nothing_is_float(files: dict[str, Path]) -> None:
    facts = inspect_onnx(files["onnx"])
    assert (facts["float_ops"], facts["float_op_names"], facts["transposes"]) == (0, [], 0)


def test_weights_are_int8_and_biases_int32_and_neither_is_float(files: dict[str, Path], built: Built) -> None:
    values = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(files["onnx"]).graph.initializer}
    floats = [v for v in values.values() if v.dtype == np.float32]
    assert max(v.ndim for v in floats) <= 1  # scales and limits of Clip only
    weights = {v.tobytes() for v in values.values() if v.dtype == np.int8 and v.ndim > 1}
    assert weights == {layer.weight for layer in quant_table(built.quantized).layers.values()}


def test_every_scale_and_integer_is_the_graphs(files: dict[str, Path], built: Built) -> None:
    expected, found = quant_table(built.quantized), onnx_quant_table(files["onnx"])
    assert found.layers == expected.layers
    assert set(found.activations.values()) == set(expected.activations.values())


def test_the_stamp_reads_back(files: dict[str, Path]) -> None:
    stamp = inspect_onnx(files["onnx"])["metadata"]
    assert stamp["attendc.checkpoint_sha256"] == "5eed" * 16
    assert (stamp["attendc.attendc"], stamp["attendc.labels"]) == ("1.2.3", list("abcdefghij"))
    assert stamp["attendc.preprocess"]["height"] == 8


def test_nothing_of_the_exporter_is_left(files: dict[str, Path]) -> None:
    model = onnx.load(files["onnx"])
    assert (model.producer_name, model.doc_string, len(model.functions)) == ("attendc", "", 0)
    graph = model.graph
    held = (*graph.node, *graph.input, *graph.output, *graph.initializer, graph)
    assert not any(one.doc_string or one.metadata_props for one in held)
    assert len(graph.value_info) == 0
    assert all(p.key.startswith("attendc.") for p in model.metadata_props)
    assert "CastLike" not in inspect_onnx(files["onnx"])["ops"]


@pytest.mark.slow
def test_the_same_graph_gives_the_same_bytes(files: dict[str, Path], built: Built, tmp_path: Path) -> None:
    write_onnx(tmp_path / "x", built.quantized, STAMP, layers=quant_table(built.quantized).layers)
    assert (tmp_path / "x").read_bytes() == files["onnx"].read_bytes()


def test_what_cannot_be_exported_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"torch.onnx cannot export the graph: .*Run again with -v"):
        write_onnx(tmp_path / "x", torch.fx.symbolic_trace(torch.nn.Flatten(5)), STAMP)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_onnx(tmp_path, built.floating, STAMP)


class Tokens(nn.Module):
    """Linear layers over the pixels of each channel: (N, 4, 64) -> (N, 4, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 6), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.mix(self.stem(x).flatten(2))).flatten(1))
        return y


@pytest.mark.slow
def test_a_linear_layer_on_three_dimensions_keeps_its_integers(
    samples: list[Tensor], seen: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    one = build(Tokens().eval(), samples[:8], tmp_path)
    table = quant_table(one.quantized)
    assert write_onnx(tmp_path / "x", one.quantized, STAMP, layers=table.layers) == []
    facts = inspect_onnx(tmp_path / "x")
    assert (facts["ops"]["MatMul"], facts["ops"]["Gemm"], facts["float_op_names"]) == (1, 1, [])
    found = onnx_quant_table(tmp_path / "x").layers
    assert found == table.layers
    assert sorted(layer.shape for layer in found.values()) == [(4, 1, 3, 3), (6, 64), (10, 24)]
    off = (onnx_runner(tmp_path / "x")(seen) - one.quantized(seen)).abs().max()
    assert off <= 1.01 * output_params(one.quantized.graph)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("opset", "released"), [(17, 8), (21, 10), (25, 13)])
def test_opsets_are_as_asked_and_compute_the_same(
    opset: int, released: int, files: dict[str, Path], built: Built, seen: Tensor, tmp_path: Path
) -> None:
    layers = quant_table(built.quantized).layers
    assert write_onnx(tmp_path / "q", built.quantized, STAMP, layers=layers, opset=opset, samples=seen) == []
    assert write_onnx(tmp_path / "f", built.floating, STAMP, opset=opset, ir_version=8) == []
    versions = [(facts["opset"], facts["ir_version"]) for n in "qf" if (facts := inspect_onnx(tmp_path / n))]
    assert versions == [(opset, released), (opset, 8)]
    assert torch.equal(onnx_runner(tmp_path / "q")(seen), onnx_runner(files["onnx"])(seen))
    assert torch.allclose(onnx_runner(tmp_path / "f")(seen), onnx_runner(files["onnx_float32"])(seen), atol=1e-5)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"opset": 16}, r"there is no ONNX opset 16 here\. Choose one of 17 to 25"),
        ({"opset": 26}, r"there is no ONNX opset 26 here\. Choose one of 17 to 25"),
        ({"ir_version": 7}, r"there is no ONNX IR version 7 here\. Choose one of 8 to 13"),
    ],
)
def test_versions_out_of_range_are_named_before_any_work(
    versions: dict[str, int], said: str, built: Built, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        write_onnx(tmp_path / "x", built.floating, STAMP, **versions)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
