"""A manifest and its evidence as plain data, for tests of what is told about a run. Every number is in sight.

float sees 95.0 % of 1,000 images right; the int8 files 94.5 %; the witness saw 200 of them.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

HEX = "0123456789abcdef" * 4
LAYERS = [f"stages.{stage}.{block}.conv" for stage in range(3) for block in range(15)]
"""45 names."""


def output(kind: str, dtype: str, size: int, **more: Any) -> dict[str, Any]:
    name = kind if dtype == "int8" else f"{kind}_{dtype}"
    return {"format": kind, "dtype": dtype, "name": name, "sha256": HEX, "bytes": size, **more}


def pair(a: str, b: str, agreement: float, images: int = 1000, *, gated: bool = True) -> dict[str, Any]:
    return {
        "a": a,
        "b": b,
        "images": images,
        "top1_agreement": agreement,
        "max_lsb": 3.0,
        "mean_lsb": 0.25,
        "sqnr_db": 41.5,
        "gated": gated,
    }


def a_manifest(**changes: Any) -> dict[str, Any]:
    """Return the manifest of a run that pruned, trained, and passed."""
    told: dict[str, Any] = {
        "attendc": "0.1.0",
        "name": "int8-qat",
        "command": "run",
        "recipe": {"version": 1, "name": "int8-qat", "stages": [{"quantize": {"qat": True}}, {"verify": {}}]},
        "inputs": {
            "checkpoint": {"path": "nano.safetensors", "sha256": HEX, "bytes": 770736, "trusted": False},
            "data": "fashion-mnist-mini",
            "calibration": "fashion-mnist-mini",
        },
        "seed": 7,
        "versions": {"attendc": "0.1.0", "torch": "2.13.0"},
        "target": {"core": "cortex-a76"},
        "model": {"params": 185722, "macs": 11782656},
        "history": [{"step": "train", "test_accuracy": 0.95}, {"step": "ptq", "images": 256}],
        "passes": ["folded 23 batch norms into convolutions"],
        "outputs": {
            "model.int8.pt2": {"format": "pt2", "dtype": "int8", "sha256": HEX, "bytes": 1600000},
            "model.int8.tflite": output("tflite", "int8", 260000, ops={"CONV_2D": 22, "ADD": 3}, float_ops=0),
            "model.int8.onnx": output("onnx", "int8", 250000, ops={"Conv": 22, "Add": 3}, float_ops=0),
            "model.float32.tflite": output("tflite", "float32", 750000, ops={"CONV_2D": 22, "ADD": 3}, float_ops=25),
        },
        "verification": {
            "images": 1000,
            "accuracy": {
                "float": 0.95,
                "graph": 0.945,
                "tflite": 0.945,
                "tflite_reference": 0.94,
                "onnx": 0.944,
                "tflite_float32": 0.95,
            },
            "pairs": [
                pair("float", "graph", 0.991, gated=False),
                pair("float", "tflite", 0.992, gated=False),
                pair("float", "tflite_reference", 0.985, 200, gated=False),
                pair("float", "onnx", 0.993, gated=False),
                pair("float", "tflite_float32", 1.0),
                pair("graph", "tflite", 0.999),
                pair("graph", "tflite_reference", 0.995, 200),
                pair("graph", "onnx", 0.998),
                pair("tflite", "onnx", 0.997),
            ],
            "scales_equal": True,
            "weights_equal": True,
            "failures": [],
            "accuracy_failures": [],
            "notes": ["tflite_reference saw 200 of 1000 images"],
            "passed": True,
        },
        "gates": [a_gate()],
        "pruning": {"plan": {"layers": {"stem.0": {"keep": [0, 2], "of": 3}}}},
        "steps": [
            {"step": "unpruned", "macs": 1000, "params": 400, "accuracy": 0.95},
            {"step": "pruned", "macs": 500, "params": 100, "accuracy": 0.31},
            {"step": "recovered", "macs": 500, "params": 100, "accuracy": 0.94},
        ],
        "curves": [
            {
                "title": "quantize: QAT",
                "rows": [
                    {"epoch": 1, "loss": 0.5, "val_accuracy": 0.9},
                    {"epoch": 2, "loss": 0.25, "val_accuracy": 0.93},
                ],
            }
        ],
        "stages": [
            {"id": "01-quantize", "step": "quantize", "key": HEX, "cached": True, "seconds": 0.25},
            {"id": "02-verify", "step": "verify", "key": HEX, "cached": False, "seconds": 130.0},
        ],
        "warnings": [],
    }
    return {**told, **changes}


def a_gate(**changes: Any) -> dict[str, Any]:
    gate = {
        "stage": "verify",
        "name": "graph and tflite agree",
        "kind": "parity",
        "value": 0.999,
        "limit": 0.99,
        "passed": True,
        "message": "",
    }
    return {**gate, **changes}


def spread(**more: Any) -> dict[str, Any]:
    return {"min": -1.0, "max": 1.0, "edges": [-1.0, -0.5, 0.0, 0.5, 1.0], "counts": [1, 100, 1000, 0], **more}


def an_evidence() -> dict[str, Any]:
    """Return evidence of 45 layers; every second one has no weights."""
    return {
        "layers": [
            {"layer": name, "op": ("conv2d", "mul")[k % 2], "sqnr_db": 40.0 - k / 2, "shape": [16, 32, 32]}
            for k, name in enumerate(LAYERS)
        ],
        "ranges": [
            {
                "layer": name,
                "weight": None if k % 2 else spread(scale=[0.01, 0.02], zero_point=0),
                "activation": spread(scale=0.01, zero_point=28, clipped=0.0005),
            }
            for k, name in enumerate(LAYERS)
        ],
        "disagreements": {
            "of": 1000,
            "total": 8,
            "shown": [
                a_disagreement(17, label="Shirt", float="Coat", int8="Shirt"),
                a_disagreement(40, label="Shirt", float="Shirt", int8="Coat"),
                a_disagreement(41, label="Bag", float="Shirt", int8="Coat"),
            ],
        },
    }


def a_disagreement(index: int, **classes: str) -> dict[str, Any]:
    return {"index": index, **classes, "float_margin": 0.1, "image": png(index)}


def png(grey: int) -> str:
    """Return a picture of one grey as a data URI."""
    file = io.BytesIO()
    Image.new("L", (28, 28), grey).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
