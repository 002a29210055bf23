"""The job of `attendc prune`: from a checkpoint to a smaller one, with its plan and its manifest beside it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from attendc import __version__
from attendc.checkpoint import checkpoint_bytes
from attendc.compress.capture import check_classifier, probe
from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.plan import PrunePlan, plan_from_json, plan_to_json
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, plan_pruning, prune_network
from attendc.compress.pruning.select import Rows
from attendc.context import Context
from attendc.data.images import Dataset, Images
from attendc.errors import OutputError, UsageError
from attendc.jobs.analyze import pruning_sensitivity
from attendc.jobs.outputs import check_new, checkpoint_outputs, write_text, write_with_manifest
from attendc.manifest import versions
from attendc.models.surgery import merged
from attendc.opening import CheckpointRequest, Opened, check_outputs, open_checkpoint, open_dataset
from attendc.types import Spec

__all__ = ["PruneRequest", "prune_checkpoint", "prune_opened", "pruned_spec"]


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
    """

    checkpoint: CheckpointRequest
    output: Path | None = None
    options: PruneOptions = field(default_factory=PruneOptions)
    plan: Path | None = None
    plan_only: bool = False
    force: bool = False


def prune_checkpoint(request: PruneRequest, context: Context) -> dict[str, Any]:
    """Prune, write checkpoint, plan and manifest, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; nothing is written then.
    """
    context.check_device()
    outputs = _outputs(request)
    given = plan_from_json(_text(request.plan)) if request.plan is not None else None
    torch.manual_seed(context.seed)
    opened = open_checkpoint(request.checkpoint)
    for note in opened.weights.notes:
        context.warn(note)
    dataset = open_dataset(opened.spec, seed=context.seed) if opened.spec.data else None
    if request.plan_only:
        return _plan_only(request, opened, dataset, outputs, context)
    judged = dataset.test if dataset is not None else None
    pruned = prune_opened(opened, dataset, judged, request.options, context, given=given)
    spec = pruned_spec(opened.spec, request.options, pruned, context)
    manifest = _manifest(request, opened, pruned, context)
    contents = {
        outputs["plan"]: plan_to_json(pruned.plan).encode(),
        outputs["checkpoint"]: checkpoint_bytes(pruned.model, spec),
    }
    return write_with_manifest(contents, outputs["manifest"], manifest)


def prune_opened(
    opened: Opened,
    dataset: Dataset | None,
    judged: Images | None,
    options: PruneOptions,
    context: Context,
    *,
    given: PrunePlan | None = None,
) -> Pruned:
    """Prune a network that is open already; `judged` are the images that tell the accuracy after each step."""
    task = _task(opened, dataset, judged, options, context)
    return prune_network(opened.model, task, options, context, given=given)


def pruned_spec(spec: Spec, options: PruneOptions, pruned: Pruned, context: Context) -> Spec:
    """Return the Spec of the pruned network: its architecture as it is now, and what was done."""
    surgery = merged(spec.architecture.surgery, pruned.surgery)
    architecture = dataclasses.replace(spec.architecture, surgery=surgery)
    options_told = dataclasses.asdict(options)
    steps = [dict(row) for row in pruned.steps]
    return dataclasses.replace(spec, architecture=architecture).after(
        step="prune", seed=context.seed, options=options_told, results=steps
    )


def _task(
    opened: Opened, dataset: Dataset | None, judged: Images | None, options: PruneOptions, context: Context
) -> PruneTask:
    def measure(model: torch.nn.Module, found: Dependencies) -> Rows:
        assert dataset is not None
        # Only the checkpoint itself is known by a hash that a cache can go by.
        now = dataclasses.replace(opened, model=model)
        cached = model is opened.model
        return pruning_sensitivity(now, found, dataset, options.importance, context, cached=cached)

    preprocess = opened.spec.preprocess
    sample = probe(preprocess)
    check_classifier(opened.model, sample)
    if dataset is not None:
        check_outputs(opened.model, opened.spec, dataset)
    return PruneTask(sample, preprocess, dataset, judged, measure)


def _plan_only(
    request: PruneRequest, opened: Opened, dataset: Dataset | None, outputs: dict[str, Path], context: Context
) -> dict[str, Any]:
    task = _task(opened, dataset, None, request.options, context)
    choice, found = plan_pruning(opened.model, task, request.options, context)
    if outputs:
        write_text(outputs["plan"], plan_to_json(choice.plan))
    return {
        "plan": json.loads(plan_to_json(choice.plan)),
        "curve": list(choice.curve),
        "unit": request.options.unit,
        "cost": choice.cost,
        "part": choice.curve[-1]["cost"] if choice.curve else None,
        "note": choice.note,
        "refused": found.refused,
        "written": str(outputs["plan"]) if outputs else None,
    }


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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"the plan {path} cannot be read: {e}", hint="attendc prune --plan-only writes one") from e


def _manifest(request: PruneRequest, opened: Opened, pruned: Pruned, context: Context) -> dict[str, Any]:
    path = request.checkpoint.path
    return {
        "attendc": __version__,
        "command": "prune",
        "inputs": {
            "checkpoint": {"path": str(path), "sha256": opened.weights.sha256, "bytes": path.stat().st_size},
            "data": opened.spec.data,
            "plan": str(request.plan) if request.plan else None,
        },
        "options": dataclasses.asdict(request),
        "seed": context.seed,
        "versions": {**versions(), **versions(("torch-pruning",))},
        "plan": json.loads(plan_to_json(pruned.plan)),
        "steps": list(pruned.steps),
        "rounds": list(pruned.rounds),
        "refused": dict(pruned.refused),
        "warnings": list(context.warnings),
    }
