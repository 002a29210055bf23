"""Where a file first leaves its graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nets import Built, changed_onnx, changed_tflite
from torch import Tensor

from attendc.layer_diff import first_difference, layer_distances
from attendc.qdq import activation_nodes

pytestmark = pytest.mark.slow  # the shared files are built


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_nothing_stands_out_in_a_healthy_file(kind: str, files: dict[str, Path], built: Built, seen: Tensor) -> None:
    text = first_difference(built.quantized, kind, files[kind], seen[:8])
    assert text.startswith("no layer stands out; the largest difference is ")


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_almost_every_tensor_is_compared(kind: str, files: dict[str, Path], built: Built, seen: Tensor) -> None:
    distances = layer_distances(built.quantized, kind, files[kind], seen[:8])
    assert len(distances) > 0.8 * len(activation_nodes(built.quantized.graph))
    assert all(d.share < 0.01 for d in distances)


@pytest.mark.parametrize("layer", ["conv2d_2", "conv2d_5", "linear"])
def test_the_layer_whose_weights_were_changed_is_named(
    layer: str, files: dict[str, Path], built: Built, seen: Tensor, tmp_path: Path
) -> None:
    path = changed_onnx(files["onnx"], tmp_path / "x", f"{layer}.weight.integers", lambda w: -w)
    assert first_difference(built.quantized, "onnx", path, seen[:8]).startswith(f"first differs at {layer}")


def test_it_is_named_in_a_tflite_file_too(files: dict[str, Path], built: Built, seen: Tensor, tmp_path: Path) -> None:
    path = changed_tflite(files["tflite"], tmp_path / "x", lambda w: -w)
    text = first_difference(built.quantized, "tflite", path, seen[:8])
    assert text.startswith("first differs at linear")
    assert "of its values by more than 2 steps" in text


def test_layers_before_the_changed_one_are_equal(
    files: dict[str, Path], built: Built, seen: Tensor, tmp_path: Path
) -> None:
    path = changed_onnx(files["onnx"], tmp_path / "x", "linear.weight.integers", np.zeros_like)
    *before, last = layer_distances(built.quantized, "onnx", path, seen[:8])
    assert max(d.max_steps for d in before) <= 2
    assert last.share > 0.5
