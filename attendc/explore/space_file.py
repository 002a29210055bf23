"""What the YAML of a space may say. The docstring below a field is its help, as in recipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from attendc.explore.performance import Weights
from attendc.recipe import CHECKED

__all__ = ["DimensionsSection", "SpaceFile"]

Count = Annotated[int, Ge(1)]
Side = Annotated[int, Ge(4)]
FourCounts = tuple[Count, Count, Count, Count]
Counts = tuple[Count, ...]


@dataclass(frozen=True)
class DimensionsSection:
    """A list of choices for each part of the family; a part that is not named stays as the family has it."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    resolution: tuple[Side | tuple[Side, Side], ...]
    """Sides of the square image in pixels, or [height, width]."""
    widths: tuple[Counts, Counts, Counts, Counts] = ((40,), (84,), (176,), (372,))
    """Channels of each of the four stages: four lists."""
    depths: tuple[Counts, Counts, Counts, Counts] = ((3,), (4,), (6,), (2,))
    """Blocks of each of the four stages, the one with attention included: four lists."""
    columns: Counts = (4,)
    """Groups of the 3x3 convolutions."""
    stem: tuple[Literal["conv", "patch"], ...] = ("conv",)
    """3x3 convolutions, or one whose kernel is its stride."""
    stem_width: Counts = (32,)
    """Channels of the stem."""
    stem_stride: Counts = (2,)
    """Stride of the stem's first convolution."""
    stem_pool: tuple[bool, ...] = (True,)
    """Whether an average pool closes the stem `conv`."""
    stage_strides: tuple[FourCounts, ...] = ((1, 2, 2, 2),)
    """How much each of the four stages condenses the resolution: lists of four."""
    gate: tuple[Literal["softmax", "sigmoid", "hardsigmoid"], ...] = ("softmax",)
    """What turns the attention branch into weights."""
    activation: tuple[Literal["silu", "relu", "relu6", "hardswish"], ...] = ("silu",)
    """After each convolution but the last of a branch."""
    expansion: Counts = (2,)
    """Of the bottlenecks in stages 3 and 4."""
    downsample: tuple[Literal["pool", "strided"], ...] = ("pool",)
    """At each stage transition: an average pool, or strided convolutions."""
    attention: tuple[Literal["entry", "every", "none"], ...] = ("entry",)
    """In the first block of each stage, in every block, or nowhere."""
    mix: tuple[Literal["border", "block"], ...] = ("border",)
    """Where the columns of early stages meet: at stage borders, or in each block."""


@dataclass(frozen=True)
class SpaceFile:
    """A space of designs, and what a search in it goes by unless told otherwise."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    version: Literal[1]
    """Of the format of spaces."""
    dimensions: DimensionsSection
    """A list of choices for each part of the family."""
    performance: Weights = field(default_factory=Weights)
    """Weights of the performance function."""
    budget: tuple[str, ...] = ()
    """Limits, as --budget takes them."""
