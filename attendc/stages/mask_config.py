"""The config of the stage `mask`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

from attendc.recipe import CHECKED, Precision

__all__ = ["MaskConfig"]


@dataclass(frozen=True)
class MaskConfig:
    """Set single weights to zero; files and times stay as they are."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    kind: Literal["unstructured", "2:4"] = "unstructured"
    """`unstructured` zeroes the smallest weights, `2:4` two of every four."""
    ratio: Annotated[float, Gt(0), Lt(1)] = 0.5
    """Part of the weights that become zero; of 2:4 it is 0.5."""
    epochs: Annotated[int, Ge(0)] = 2
    """Of recovery with the zeros held."""
    batch_size: Annotated[int, Ge(1)] = 64
    """Images per step; the last, smaller batch of an epoch is left out."""
    lr: Annotated[float, Ge(0)] = 4e-3
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    """Of convolution and linear weights; biases, norms and ranges have none."""
    warmup: Annotated[float, Ge(0), Le(1)] = 0.1
    """Part of all steps in which the rate rises linearly; then it falls along a cosine."""
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0
    """Of the cross-entropy."""
    flip: bool = True
    """Mirror half of the images."""
    shift: Annotated[int, Ge(0)] = 2
    """Move each image by up to so many pixels."""
    distill: Annotated[float, Ge(0), Le(1)] = 0.9
    """Weight of what the float network says, as it came in, against the labels."""
    temperature: Annotated[float, Gt(0)] = 2.0
    """Of what the float network says."""
    precision: Precision = "float32"
    """Of convolutions and matrix products in training; `bfloat16` is faster where the processor has it."""
