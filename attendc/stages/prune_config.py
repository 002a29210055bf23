"""The config of the stage `prune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from attendc.compress.pruning.amount import as_typed, core_amount_of
from attendc.recipe import CHECKED, Precision

__all__ = ["PruneConfig"]


@dataclass(frozen=True)
class PruneConfig:
    """Take channels and residual blocks out until a budget is met, and train what is left."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    macs: str | float | int | None = None
    """Budget: a part of the multiply-accumulates (0.5), or so many (6M). One budget at most."""
    params: str | float | int | None = None
    """Budget: a part of the parameters (0.25), or so many (50k)."""
    bytes: str | float | int | None = None
    """Budget: a part of the int8 TFLite file's bytes as estimated, or so many (100k)."""
    budget: str | float | int | None = None
    """Budget in the core's own cost: a part of its instructions as estimated (cortex-a76:0.6), or so many
    (cortex-a76:40M). Without a core it is the recipe's target."""
    keep: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict)
    """By hand: layer -> part of its channels that stays; a block's 0 removes it."""
    guard: tuple[str, ...] | None = None
    """Layers or modules that stay as they are. Default: stem and stage 1 where there are such; []: nothing."""
    importance: Literal["l1", "l2", "taylor", "bn", "activation"] = "taylor"
    """How channels are weighed."""
    importance_images: Annotated[int, Ge(1)] = 2048
    """Training images to weigh them on."""
    sensitivity: bool = False
    """Choose by the loss measured part by part (as `analyze` does)."""
    steps: Annotated[int, Ge(1)] = 1
    """Rounds in which the budget is reached."""
    plan: str = ""
    """Path of a plan to apply instead of choosing."""
    plan_only: bool = False
    """Choose and write the plan, prune nothing."""
    images: Annotated[int, Ge(1)] | None = None
    """Test images that tell the accuracy after each step. Default: as many as `verify` looks at."""
    epochs: Annotated[int, Ge(0)] = 2
    """Of recovery, in all rounds together."""
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

    def __post_init__(self) -> None:
        """Check what is typed of a core.

        Raises:
            UsageError: if there is no such core, or no amount.
        """
        if self.budget is not None:
            core_amount_of(as_typed(self.budget))
