"""TensorFlow's own converter makes of the SavedModel what litert-torch makes of the graph."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from nets import STAMP, Built
from torch import Tensor

from attendc.converters.to_savedmodel import write_savedmodel
from attendc.errors import ConversionError
from attendc.runtimes import tflite_runner
from attendc.second_converter import tensorflow_tflite

pytestmark = pytest.mark.slow  # each starts a process that imports tensorflow


def test_both_converters_make_files_that_agree(
    files: dict[str, Path], built: Built, seen: Tensor, tmp_path: Path
) -> None:
    write_savedmodel(tmp_path / "model", built.floating, dataclasses.replace(STAMP, dtype="float32"))
    tensorflow_tflite(tmp_path / "model", tmp_path / "x.tflite")
    ours, theirs = tflite_runner(files["tflite_float32"])(seen), tflite_runner(tmp_path / "x.tflite")(seen)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "x.tflite"]


def test_what_the_converter_cannot_read_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ConversionError, match=r"TFLiteConverter cannot convert model: Error parsing message"):
        tensorflow_tflite(tmp_path / "model", tmp_path / "x.tflite")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_converter_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"TFLiteConverter is not done with model after 0\.01 s"):
        tensorflow_tflite(tmp_path / "model", tmp_path / "x.tflite", timeout_s=0.01)
    assert list(tmp_path.iterdir()) == []
