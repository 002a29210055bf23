"""What can be written: formats, the types that each has, file names, and which of them must agree with which.

Nothing here imports torch, so that options and gates can be read without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BY_TENSORFLOW",
    "DTYPES",
    "DTYPES_OF",
    "FLOAT",
    "FORMATS",
    "GRAPH",
    "ON_CORES",
    "REFERENCES",
    "WITNESS",
    "Candidate",
    "are_compared",
    "core_of_runner",
    "family_of",
    "file_name",
    "is_quantized",
    "on_core",
    "pairs_of",
]

DTYPES = ("int8", "float32", "float16", "dynamic", "int16")
"""`dynamic`: int8 weights, float activations. `int16`: int8 weights, int16 activations."""

DTYPES_OF = {
    "tflite": DTYPES,
    "onnx": ("int8", "float32"),
    "torchscript": ("int8", "float32"),
    "savedmodel": ("int8", "float32"),
}
"""Format -> the types that it is written in."""

FORMATS = tuple(DTYPES_OF)
_SUFFIXES = {"tflite": "tflite", "onnx": "onnx", "torchscript": "ts.pt", "savedmodel": "savedmodel"}

FLOAT, GRAPH = "float", "graph"
WITNESS, BY_TENSORFLOW = "tflite_reference", "tflite_by_tensorflow_float32"
"""The int8 TFLite file in TensorFlow's reference kernels, and what its own converter makes of the float SavedModel."""

ON_CORES = ("tflite", "onnx")
"""Formats whose runtimes run on emulated cores."""
_AT = "@"

REFERENCES = {"int8": GRAPH, "float": FLOAT, "dynamic": "graph_dynamic", "int16": "graph_int16"}
"""Family -> the runner that its files are made from, and must agree with."""


@dataclass(frozen=True)
class Candidate:
    """An artefact: `format` is one of FORMATS, `dtype` one that the format has."""

    format: str
    dtype: str
    path: Path

    @property
    def name(self) -> str:
        """Return `tflite` for int8, `tflite_float32` and the like for the others."""
        return self.format if self.dtype == "int8" else f"{self.format}_{self.dtype}"


def file_name(kind: str, dtype: str) -> str:
    """Return `model.int8.tflite` and the like; a SavedModel is a folder."""
    return f"model.{dtype}.{_SUFFIXES[kind]}"


def on_core(name: str, core: str) -> str:
    """Return the runner of a file on an emulated core: `tflite@cortex-a72`."""
    return f"{name}{_AT}{core}"


def core_of_runner(name: str) -> str:
    """Return the core that a runner is on; empty: this machine."""
    return name.partition(_AT)[2]


def are_compared(a: str, b: str) -> bool:
    """Return whether two runners are compared.

    Rules:
        1. Two of one family on this machine are, and the float network with every other.
        2. A file on a core is compared with the same file on this machine, and with what it was made from.
    """
    if core_of_runner(a) and core_of_runner(b):
        return False
    if core_of_runner(a) or core_of_runner(b):
        there, here = (a, b) if core_of_runner(a) else (b, a)
        return here in (there.partition(_AT)[0], REFERENCES[family_of(there)])
    return family_of(a) == family_of(b) or FLOAT in (a, b)


def family_of(name: str) -> str:
    """Return which runners one of that name must agree with: `float`, `int8`, `dynamic` or `int16`."""
    name = name.partition(_AT)[0]
    if name == FLOAT or name.endswith(("_float32", "_float16")):
        return "float"
    return next((family for family in ("dynamic", "int16") if name.endswith(f"_{family}")), "int8")


def is_quantized(name: str) -> bool:
    """Return whether a runner of that name computes with the integers of the quantized graph."""
    return family_of(name) != "float"


def pairs_of(formats: tuple[str, ...], dtypes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return every (format, dtype) that was asked for and exists, dtype by dtype."""
    return [(kind, dtype) for dtype in dtypes for kind in formats if dtype in DTYPES_OF[kind]]
