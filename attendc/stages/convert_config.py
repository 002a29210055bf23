"""The config of the stage `convert`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from attendc.recipe import CHECKED

__all__ = ["ConvertConfig"]


@dataclass(frozen=True)
class ConvertConfig:
    """Write artefacts from the graphs; a checkpoint that was not quantized gives float32."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    to: tuple[Literal["tflite", "onnx", "torchscript"], ...] = ("tflite", "onnx", "torchscript")
    """Formats to write."""
    dtypes: tuple[Literal["int8", "float32"], ...] | None = None
    """Types to write. Default: int8 and float32 of a quantized network, else float32."""
    io: Literal["int8", "uint8", "float32"] = "int8"
    """Type of the int8 TFLite file's input and output."""
    allow_float: bool = False
    """Keep an int8 TFLite file that has float operators inside, and say so."""
