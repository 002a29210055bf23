"""The config of the stage `convert`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from attendc.recipe import CHECKED

__all__ = ["ConvertConfig"]


@dataclass(frozen=True)
class ConvertConfig:
    """Write artefacts from the graphs; a checkpoint that was not quantized gives float32."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    to: tuple[Literal["tflite", "onnx", "torchscript", "savedmodel"], ...] = ("tflite", "onnx", "torchscript")
    """Formats to write."""
    dtypes: tuple[Literal["int8", "float32", "float16", "dynamic", "int16"], ...] | None = None
    """Types to write. Default: int8 and float32 of a quantized network, else float32. TFLite has all of them, the other
    formats int8 and float32; `dynamic` has int8 weights and float activations, `int16` int8 weights and int16
    activations."""
    io: Literal["int8", "uint8", "float32"] = "int8"
    """Type of the int8 TFLite file's input and output."""
    opset: Annotated[int, Ge(17), Le(25)] | None = None
    """Of ONNX. Default: 18, which runtimes of 2023 know."""
    ir_version: Annotated[int, Ge(8), Le(13)] | None = None
    """Of the ONNX file. Default: the one that was released with the opset: 8 with 18."""
    allow_float: bool = False
    """Keep an int8 TFLite file that has float operators inside, and say so."""
