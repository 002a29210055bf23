"""The job of `attendc analyze`: how sensitive each part of a network is, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.compress.pruning.importance import Importance
from attendc.compress.pruning.sensitivity import KEEP_RATIOS
from attendc.context import Context
from attendc.files import check_writable, replace_file
from attendc.jobs.building import recipe_of
from attendc.opening import CheckpointRequest
from attendc.pictures import check_picture
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.analyze import PICTURE
from attendc.stages.analyze_config import AnalyzeConfig

__all__ = ["AnalyzeRequest", "analyze_checkpoint", "analyze_recipe"]


@dataclass(frozen=True)
class AnalyzeRequest:
    """What to analyze.

    Attributes:
        checkpoint: the checkpoint, and what its Spec does not say.
        output: the picture to write, .svg or .png.
        importance: which channels go first.
        keep_ratios: parts of the channels that stay.
        cached: take measurements from the cache, and keep them there.
    """

    checkpoint: CheckpointRequest
    output: Path
    importance: Importance = "taylor"
    keep_ratios: Sequence[float] = KEEP_RATIOS
    cached: bool = True


def analyze_recipe(request: AnalyzeRequest, context: Context) -> Recipe:
    """Return the recipe that a request means."""
    picture = request.output.suffix.lower()[1:]
    config = AnalyzeConfig(request.importance, tuple(request.keep_ratios), picture, request.cached)  # type: ignore[arg-type]
    return recipe_of(f"{request.checkpoint.name}-analyzed", request.checkpoint, {"analyze": config}, context)


def analyze_checkpoint(request: AnalyzeRequest, context: Context) -> dict[str, Any]:
    """Measure, draw, and return all numbers.

    Raises:
        AttendcError: of the kind that fits; then no picture is written.
    """
    check_picture(request.output)
    check_writable(request.output)
    options = RunOptions(cached=request.cached, command="analyze")
    with executed_recipe(analyze_recipe(request, context), context, options) as executed:
        drawn = executed.work.files[f"{PICTURE}{request.output.suffix.lower()}"].read_bytes()
        told = executed.work.told
        result = {
            "attendc": __version__,
            "command": "analyze",
            "inputs": {"checkpoint": executed.source.told, "data": told["inputs"]["data"]},
            **told["analysis"],
            "picture": str(request.output),
            "warnings": list(context.warnings),
        }
    with replace_file(request.output) as beside:
        beside.write_bytes(drawn)
    return result
