"""The config of the stage `analyze`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Lt

from attendc.recipe import CHECKED

__all__ = ["AnalyzeConfig"]


@dataclass(frozen=True)
class AnalyzeConfig:
    """Measure how much accuracy is lost when one layer or block alone is pruned, removed or int8, and draw it."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    importance: Literal["l1", "l2", "taylor", "bn", "activation"] = "taylor"
    """Which channels go first."""
    keep: tuple[Annotated[float, Gt(0), Lt(1)], ...] | None = None
    """Parts of the channels that stay. Default: those that `prune` goes by."""
    picture: Literal["svg", "png"] = "svg"
    """Kind of the picture."""
    cached: bool = True
    """Take measurements of parts from the cache that `prune` looks into too, and keep them there."""
