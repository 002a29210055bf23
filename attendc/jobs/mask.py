"""The job of `attendc prune --unstructured` and `--two-four`: weights become zeros, one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attendc import __version__
from attendc.checkpoint import checkpoint_bytes
from attendc.compress.capture import check_classifier, probe
from attendc.compress.masks import MaskKind, frozen_zeros, mask_weights
from attendc.compress.pruning.recover import HELD_OUT, refresh_batch_norms
from attendc.compress.step_row import step_row
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.errors import DataError
from attendc.jobs.outputs import checkpoint_outputs, write_with_manifest
from attendc.manifest import versions
from attendc.opening import CheckpointRequest, Opened, check_outputs, open_checkpoint, open_dataset
from attendc.train import Task, TrainOptions, hold_out, train

__all__ = ["MaskRequest", "mask_checkpoint"]

NOTE = "zeros are numbers like others to the runtimes here: files and times stay as they are (benchmarks/zeros.py)"


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
    """

    checkpoint: CheckpointRequest
    output: Path
    kind: MaskKind
    ratio: float
    recover: TrainOptions
    force: bool = False


def mask_checkpoint(request: MaskRequest, context: Context) -> dict[str, Any]:
    """Mask, recover, write checkpoint and manifest, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; nothing is written then.
    """
    context.check_device()
    outputs = checkpoint_outputs(request.output, ("manifest",), force=request.force)
    torch.manual_seed(context.seed)
    opened = open_checkpoint(request.checkpoint)
    for note in opened.weights.notes:
        context.warn(note)
    dataset = open_dataset(opened.spec, seed=context.seed) if opened.spec.data else None
    if dataset is None and request.recover.epochs:
        raise DataError("recovery needs images", hint="Add --data, or --epochs 0 to do without")
    preprocess, judged = opened.spec.preprocess, dataset.test if dataset is not None else None
    sample = probe(preprocess)
    check_classifier(opened.model, sample)
    if dataset is not None:
        check_outputs(opened.model, opened.spec, dataset)
    masked, zeros = mask_weights(opened.model, request.kind, request.ratio, sample)
    steps = [step_row(name, m, preprocess, judged) for name, m in (("as it was", opened.model), ("masked", masked))]
    if dataset is not None:
        _recover(masked, opened, dataset, request.recover, context)
        done = "recovered" if request.recover.epochs else "batch norms measured again"
        steps.append(step_row(done, masked, preprocess, judged))
    context.warn(NOTE)
    told = {"kind": request.kind, "ratio": request.ratio, "results": steps, "seed": context.seed}
    path = request.checkpoint.path
    manifest = {
        "attendc": __version__,
        "command": "prune",
        "inputs": {
            "checkpoint": {"path": str(path), "sha256": opened.weights.sha256, "bytes": path.stat().st_size},
            "data": opened.spec.data,
        },
        "options": dataclasses.asdict(request),
        "seed": context.seed,
        "versions": versions(),
        "zeros": zeros,
        "steps": steps,
        "warnings": list(context.warnings),
    }
    contents = {request.output: checkpoint_bytes(masked, opened.spec.after(step="mask", **told))}
    return write_with_manifest(contents, outputs["manifest"], manifest)


def _recover(masked: nn.Module, opened: Opened, dataset: Dataset, options: TrainOptions, context: Context) -> None:
    """Measure the batch norms again, and train with the zeros held, taught by the network as it was."""
    preprocess = opened.spec.preprocess
    refresh_batch_norms(masked, dataset.train, preprocess, context)
    if options.epochs == 0:
        return
    hold = frozen_zeros(masked)
    chosen, chooser = hold_out(dataset.train, HELD_OUT, seed=context.seed)
    task = Task(chosen, chooser, preprocess, opened.model, hold)
    result = train(masked, task, options, context, state_file=context.state_file("mask"))
    masked.load_state_dict(result.best)
    masked.cpu().eval()
    opened.model.cpu()
    hold(masked, 0, 0)
