"""The config of the stage `train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from attendc.recipe import CHECKED, Precision

__all__ = ["DEFAULT_DATA", "DEFAULT_MODEL", "TrainConfig"]

DEFAULT_MODEL, DEFAULT_DATA = "attendnext_nano", "fashion-mnist-mini"
"""What is trained, and on what, where nothing is said."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a network: `model.name` or `model.factory` from scratch, or on from `model.checkpoint`."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    epochs: Annotated[int, Ge(0)] = 20
    """Passes over the training images."""
    batch_size: Annotated[int, Ge(1)] = 64
    """Images per step; the last, smaller batch of an epoch is left out."""
    lr: Annotated[float, Ge(0)] = 4e-3
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Ge(0)] = 0.05
    """Of convolution and linear weights; biases, norms and ranges have none."""
    warmup: Annotated[float, Ge(0), Le(1)] = 0.05
    """Part of all steps in which the rate rises linearly; then it falls along a cosine."""
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.1
    """Of the cross-entropy."""
    flip: bool = True
    """Mirror half of the images."""
    shift: Annotated[int, Ge(0)] = 2
    """Move each image by up to so many pixels."""
    precision: Precision = "float32"
    """Of convolutions and matrix products in training; `bfloat16` is faster where the processor has it."""
    hold_out: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Part of the training images that chooses the best epoch; the test images only judge it."""
    input_size: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] | None = None
    """[height, width] of the input. Default: the preset's."""
    spec_data: str = ""
    """Data that later commands use when not told otherwise. Default: what is trained on."""
