"""The step `mask`: weights become zeros, one by one, and the others are trained while the zeros are held."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from attendc.artefacts import checkpoint_entry
from attendc.checkpoint import save_checkpoint
from attendc.compress.capture import check_classifier, probe
from attendc.compress.masks import frozen_zeros, mask_weights
from attendc.compress.pruning.recover import HELD_OUT, refresh_batch_norms
from attendc.compress.step_row import step_row
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.errors import DataError
from attendc.opening import Opened, check_outputs, dataset_of, open_told
from attendc.stages.loop import loop_options
from attendc.stages.mask_config import MaskConfig
from attendc.stages.work import CHECKPOINT, Made, Work
from attendc.train import Task, TrainOptions, TrainResult, hold_out, train

__all__ = ["MASKED", "NOTE", "MaskedNetwork", "mask", "run"]

MASKED = "model.masked.safetensors"
NOTE = "zeros are numbers like others to the runtimes here: files and times stay as they are (benchmarks/zeros.py)"


@dataclass(frozen=True)
class MaskedNetwork:
    """What `mask` returns.

    Attributes:
        opened: the network with its zeros, in eval mode.
        zeros: how many weights of each layer are zero, and of how many.
        steps: a row after each step, as of `prune`.
        curve: of recovery, a row an epoch.
    """

    opened: Opened
    zeros: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    curve: tuple[dict[str, float], ...] = ()


def mask(opened: Opened, config: MaskConfig | None = None, context: Context | None = None) -> MaskedNetwork:
    """Return a copy of a network in which single weights are zero; it computes as slowly as before.

    Raises:
        DataError: if recovery is asked for and there are no images.
        CheckpointError: if the network has no weights to mask.
    """
    config, context = config or MaskConfig(), context or Context()
    dataset = dataset_of(opened.spec, seed=context.seed)
    if dataset is None and config.epochs:
        raise DataError("recovery needs images", hint="Add --data, or --epochs 0 to do without")
    preprocess, judged = opened.spec.preprocess, dataset.test if dataset is not None else None
    sample = probe(preprocess)
    check_classifier(opened.model, sample)
    if dataset is not None:
        check_outputs(opened.model, opened.spec, dataset)
    masked, zeros = mask_weights(opened.model, config.kind, config.ratio, sample)
    steps = [step_row(name, m, preprocess, judged) for name, m in (("as it was", opened.model), ("masked", masked))]
    curve: tuple[dict[str, float], ...] = ()
    if dataset is not None:
        result = _recover(masked, opened, dataset, loop_options(config), context)
        curve = result.curve if result is not None else ()
        done = "recovered" if config.epochs else "batch norms measured again"
        steps.append(step_row(done, masked, preprocess, judged))
    context.warn(NOTE)
    told = {"kind": config.kind, "ratio": config.ratio, "results": steps, "seed": context.seed}
    spec = opened.spec.after(step="mask", **told)
    return MaskedNetwork(dataclasses.replace(opened, model=masked, spec=spec), zeros, tuple(steps), curve)


def run(config: MaskConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: `model.masked.safetensors`."""
    opened = open_told(work.checkpoint_request(), context)
    masked = mask(opened, config, context)
    save_checkpoint(folder / MASKED, masked.opened.model, masked.opened.spec)
    told = {
        "outputs": {MASKED: checkpoint_entry(folder / MASKED)},
        "zeros": masked.zeros,
        "steps": list(masked.steps),
        "curves": [{"title": "recovery with masks", "rows": list(masked.curve)}] if masked.curve else [],
    }
    return Made(told, {CHECKPOINT: MASKED, "last_step": masked.steps[-1]})


def _recover(
    masked: nn.Module, opened: Opened, dataset: Dataset, options: TrainOptions, context: Context
) -> TrainResult | None:
    """Measure the batch norms again, and train with the zeros held, taught by the network as it was."""
    preprocess = opened.spec.preprocess
    refresh_batch_norms(masked, dataset.train, preprocess, context)
    if options.epochs == 0:
        return None
    hold = frozen_zeros(masked)
    chosen, chooser = hold_out(dataset.train, HELD_OUT, seed=context.seed)
    task = Task(chosen, chooser, preprocess, opened.model, hold)
    result = train(masked, task, options, context, state_file=context.state_file("mask"))
    masked.load_state_dict(result.best)
    masked.cpu().eval()
    opened.model.cpu()
    hold(masked, 0, 0)
    return result
