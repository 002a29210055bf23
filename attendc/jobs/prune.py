"""The job of `attendc prune`: from a checkpoint to a smaller one, with its plan and its manifest beside it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.compress.pruning.prune import PruneOptions
from attendc.context import Context
from attendc.errors import OutputError
from attendc.jobs.building import recipe_of
from attendc.jobs.outputs import check_new, checkpoint_outputs, write_text, write_with_manifest
from attendc.manifest import versions
from attendc.opening import CheckpointRequest
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.prune import PLAN, PRUNED, prune_config

__all__ = ["PruneRequest", "prune_checkpoint", "prune_recipe"]


@dataclass(frozen=True)
class PruneRequest:
    """What to prune and how.

    Attributes:
        checkpoint: the checkpoint, and what its Spec does not say.
        output: the .safetensors to write; `*.plan.json` and `*.manifest.json` go beside it.
        options: of the choice and the recovery.
        plan: a plan to apply instead of choosing.
        plan_only: choose, write the plan if there is an output, and prune nothing.
        force: replace existing outputs.
        cached: take what was done before from the cache, and keep it there.
    """

    checkpoint: CheckpointRequest
    output: Path | None = None
    options: PruneOptions = field(default_factory=PruneOptions)
    plan: Path | None = None
    plan_only: bool = False
    force: bool = False
    cached: bool = True


def prune_recipe(request: PruneRequest, context: Context) -> Recipe:
    """Return the recipe that a request means."""
    plan = str(request.plan) if request.plan is not None else ""
    config = prune_config(request.options, plan=plan, plan_only=request.plan_only)
    return recipe_of(f"{request.checkpoint.name}-pruned", request.checkpoint, {"prune": config}, context)


def prune_checkpoint(request: PruneRequest, context: Context) -> dict[str, Any]:
    """Prune, write checkpoint, plan and manifest, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; nothing is written then.
    """
    outputs = _outputs(request)
    options = RunOptions(cached=request.cached, command="prune")
    with executed_recipe(prune_recipe(request, context), context, options) as executed:
        told, files = executed.work.told, executed.work.files
        if request.plan_only:
            if outputs:
                write_text(outputs["plan"], files[PLAN].read_text(encoding="utf-8"))
            return {**told["choice"], "written": str(outputs["plan"]) if outputs else None}
        manifest = {
            "attendc": __version__,
            "command": "prune",
            "inputs": {
                "checkpoint": executed.source.told,
                "data": executed.source.data_name,
                "plan": str(request.plan) if request.plan else None,
            },
            "options": dataclasses.asdict(request),
            "seed": context.seed,
            "versions": {**versions(), **versions(("torch-pruning",))},
            **told["pruning"],
            "steps": told["steps"],
            "warnings": list(context.warnings),
        }
        contents = {outputs["plan"]: files[PLAN].read_bytes(), outputs["checkpoint"]: files[PRUNED].read_bytes()}
    return write_with_manifest(contents, outputs["manifest"], manifest)


def _outputs(request: PruneRequest) -> dict[str, Path]:
    """Return where the files go, after a look whether they can."""
    if not request.plan_only:
        if request.output is None:
            raise OutputError("no output is named", hint="Add -o pruned.safetensors")
        return checkpoint_outputs(request.output, ("plan", "manifest"), force=request.force)
    if request.output is None:
        return {}
    if request.output.suffix != ".json":
        raise OutputError(f"{request.output} is no name of a plan", hint="Give one that ends in .json")
    check_new(request.output, force=request.force)
    return {"plan": request.output}
