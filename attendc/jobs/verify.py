"""The job of `attendc verify DIR`: the proof again, from the folder alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.jobs.building import recipe_of
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.verify_config import VerifyConfig

__all__ = ["VerifyRequest", "prove_folder", "verify_recipe"]


@dataclass(frozen=True)
class VerifyRequest:
    """A folder that attendc made; `data` and `images` where not those of its Spec and its size are meant."""

    folder: Path
    data: str = ""
    images: int | None = None
    gates: Gates = field(default_factory=Gates)


def verify_recipe(request: VerifyRequest, context: Context) -> Recipe:
    """Return the recipe that a request means."""
    gates = request.gates
    config = VerifyConfig(request.images, gates.min_agreement, gates.max_drop_points, gate=False)
    source = CheckpointRequest(request.folder, data=request.data)
    return recipe_of(f"{request.folder.name}-verified", source, {"verify": config}, context)


def prove_folder(request: VerifyRequest, context: Context) -> dict[str, Any]:
    """Compare every artefact of the folder with its graph, and return the verification as in a manifest.

    It is done anew each time, whatever the cache holds. The gates are the caller's to check:
    `attendc.check_verification`.

    Raises:
        CheckpointError: if the folder is not whole.
        ParityError: if a file is not the one that the manifest describes.
    """
    options = RunOptions(cached=False, command="verify")
    with executed_recipe(verify_recipe(request, context), context, options) as executed:
        verification: dict[str, Any] = executed.work.told["verification"]
    return verification
