"""The config of the stage `bench`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from attendc.recipe import CHECKED, CoreName

__all__ = ["BenchConfig"]


@dataclass(frozen=True)
class BenchConfig:
    """Count the instructions of every TFLite and ONNX file on emulated ARM cores; budgets hold for int8 TFLite."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    on: tuple[CoreName, ...] = ()
    """Cores to count on. Default: the recipe's target."""
    max_instructions: str | Annotated[float, Ge(0)] | None = None
    """Most instructions of one inference, on each of the cores: 40M, or a number. Default: any."""
    max_partitions: Annotated[int, Ge(1)] | None = None
    """Most parts that XNNPACK runs; 1: the whole network at once. Default: any."""
    max_bytes: str | Annotated[float, Ge(0)] | None = None
    """Most bytes of the file: 300k, or a number. Default: any."""
    gate: bool = True
    """Fail the run where a budget is not kept; false: say so and go on."""

    def cores(self, target: str) -> tuple[str, ...]:
        """Return the cores to count on, in a recipe made for `target` (empty: for none)."""
        return self.on or ((target,) if target else ())
