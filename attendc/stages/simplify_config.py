"""The config of the stage `simplify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from attendc.recipe import CHECKED

__all__ = ["SimplifyConfig"]


@dataclass(frozen=True)
class SimplifyConfig:
    """Rewrite the float network into fewer operators of the same function, each pass proven on images."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    passes: tuple[str, ...] | None = None
    """Only these passes, in attendc's order. Default: all of them."""
    skip: tuple[str, ...] = ()
    """All passes but these."""
    images: Annotated[int, Ge(0)] = 16
    """Training images that each pass is proven on, fewer where they are large; 0: random inputs."""
