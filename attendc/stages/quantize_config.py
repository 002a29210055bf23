"""The config of the stage `quantize`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from attendc.recipe import CHECKED, Precision

__all__ = ["RANDOM", "QuantizeConfig"]

RANDOM = "random"
"""Calibration on inputs that are made up."""


@dataclass(frozen=True)
class QuantizeConfig:
    """Quantize to int8 by LiteRT's rules: calibrated only (ptq), or calibrated and trained (qat)."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    mode: Literal["ptq", "qat"] = "ptq"
    """`ptq` calibrates; `qat` then trains weights and ranges, taught by the float network."""
    bits: Literal[8] = 8
    """Bits of weights and activations."""
    calib: Annotated[int, Ge(1)] | Literal["random"] = 256
    """Number of training images to calibrate on, or `random` to do without data; every artefact is stamped with it."""
    ranges: Literal["minmax", "percentile", "mse"] = "mse"
    """How calibration chooses the range of an activation."""
    allow_float: bool = False
    """Let operators that LiteRT cannot run in int8 stay float, and say so."""
    epochs: Annotated[int, Ge(1)] = 2
    """Of `qat`: passes over the training images."""
    batch_size: Annotated[int, Ge(1)] = 64
    """Images per step; the last, smaller batch of an epoch is left out."""
    lr: Annotated[float, Ge(0)] = 5e-4
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Of convolution and linear weights; biases, norms and ranges have none."""
    warmup: Annotated[float, Ge(0), Le(1)] = 0.1
    """Part of all steps in which the rate rises linearly; then it falls along a cosine."""
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0
    """Of the cross-entropy."""
    flip: bool = True
    """Mirror half of the images."""
    shift: Annotated[int, Ge(0)] = 1
    """Move each image by up to so many pixels."""
    distill: Annotated[float, Ge(0), Le(1)] = 0.9
    """Weight of what the float network says, as it came in, against the labels."""
    temperature: Annotated[float, Gt(0)] = 2.0
    """Of what the float network says."""
    precision: Precision = "float32"
    """Of convolutions and matrix products in training; `bfloat16` is faster where the processor has it."""
