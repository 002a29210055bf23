"""The keys at the top of a recipe that are no section, as the reader checks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from attendc.recipe import CHECKED

__all__ = ["Head"]


@dataclass(frozen=True)
class Head:
    """What a recipe says of itself and of the machine that runs it."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    version: Literal[1]
    """Of the format of recipes."""
    name: str = ""
    """Of the run's folder. Default: the file's name without its ending."""
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    """Of everything that is drawn by chance."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks are trained and run."""
    threads: Annotated[int, Ge(1)] | None = None
    """Of the CPU. Default: as torch decides."""
    output: str = "runs"
    """Folder in which the run's folder is made."""
