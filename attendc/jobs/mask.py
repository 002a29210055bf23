"""The job of `attendc prune --unstructured` and `--two-four`: weights become zeros, one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.compress.masks import MaskKind
from attendc.context import Context
from attendc.jobs.building import recipe_of
from attendc.jobs.outputs import checkpoint_outputs, write_with_manifest
from attendc.manifest import versions
from attendc.opening import CheckpointRequest
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.loop import loop_fields
from attendc.stages.mask import MASKED
from attendc.stages.mask_config import MaskConfig
from attendc.train import TrainOptions

__all__ = ["MaskRequest", "mask_checkpoint", "mask_recipe"]


@dataclass(frozen=True)
class MaskRequest:
    """What to mask and how.

    Attributes:
        checkpoint: the checkpoint, and what its Spec does not say.
        output: the .safetensors to write; its manifest goes beside it.
        kind: `unstructured` or `2:4`.
        ratio: part of the weights that become zero.
        recover: options of training with the zeros held; no epochs: none.
        force: replace existing outputs.
        cached: take what was done before from the cache, and keep it there.
    """

    checkpoint: CheckpointRequest
    output: Path
    kind: MaskKind
    ratio: float
    recover: TrainOptions
    force: bool = False
    cached: bool = True


def mask_recipe(request: MaskRequest, context: Context) -> Recipe:
    """Return the recipe that a request means."""
    config = MaskConfig(request.kind, request.ratio, **loop_fields(request.recover))
    return recipe_of(f"{request.checkpoint.name}-masked", request.checkpoint, {"mask": config}, context)


def mask_checkpoint(request: MaskRequest, context: Context) -> dict[str, Any]:
    """Mask, recover, write checkpoint and manifest, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; nothing is written then.
    """
    outputs = checkpoint_outputs(request.output, ("manifest",), force=request.force)
    options = RunOptions(cached=request.cached, command="prune")
    with executed_recipe(mask_recipe(request, context), context, options) as executed:
        told = executed.work.told
        manifest = {
            "attendc": __version__,
            "command": "prune",
            "inputs": {"checkpoint": executed.source.told, "data": executed.source.data_name},
            "options": dataclasses.asdict(request),
            "seed": context.seed,
            "versions": versions(),
            "zeros": told["zeros"],
            "steps": told["steps"],
            "warnings": list(context.warnings),
        }
        contents = {request.output: executed.work.files[MASKED].read_bytes()}
    return write_with_manifest(contents, outputs["manifest"], manifest)
