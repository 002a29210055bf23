"""The config of the stage `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from attendc.recipe import CHECKED, CoreName

__all__ = ["VerifyConfig"]


@dataclass(frozen=True)
class VerifyConfig:
    """Run every artefact on test images, read every scale and integer back, and compare with the graphs."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    images: Annotated[int, Ge(1)] | None = None
    """Test images to look at. Default: 2000, of networks from 50 M MACs on 500."""
    min_agreement: Annotated[float, Ge(0), Le(1)] = 0.99
    """Least top-1 agreement of any two of one family: the int8 files and their graph, the float files and theirs."""
    max_drop: float = 1.0
    """Most accuracy, in points of percent, that int8 may lose against float."""
    gate: bool = True
    """Fail the run where one of these does not hold; false: say so and go on."""
    on: tuple[CoreName, ...] = ()
    """Emulated ARM cores that run the TFLite and ONNX files on the same images; one takes a hundred times as long.
    Default: none."""
