"""What the tests of networks share."""

from __future__ import annotations

from pathlib import Path

import pytest
from nets import Built

from attendc.network.from_graph import graph_network
from attendc.network.from_onnx import onnx_network
from attendc.network.from_tflite import tflite_network
from attendc.network.from_torchscript import torchscript_network
from attendc.network.types import Network


@pytest.fixture(scope="session")
def networks(built: Built, files: dict[str, Path]) -> dict[str, Network]:
    """Return the mixed net as each format's reader tells it."""
    return {
        "graph": graph_network(built.floating),
        "tflite": tflite_network(files["tflite_float32"]),
        "onnx": onnx_network(files["onnx_float32"]),
        "torchscript": torchscript_network(files["torchscript_float32"], (1, 8, 8)),
        "graph int8": graph_network(built.quantized),
        "tflite int8": tflite_network(files["tflite"]),
        "onnx int8": onnx_network(files["onnx"]),
    }
