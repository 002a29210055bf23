"""The job of `attendc train`: from a data set to a checkpoint that knows everything about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attendc.checkpoint import load_model, read_weights, save_checkpoint
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.data.preprocess import pixel_statistics
from attendc.data.sources import load_dataset
from attendc.errors import CheckpointError, DataError, OutputError, UsageError
from attendc.files import check_writable
from attendc.models.registry import PRESET_INPUTS, build, resolve
from attendc.train import Task, TrainOptions, TrainResult, accuracy, hold_out, train
from attendc.types import Architecture, Fit, Preprocess, Spec

__all__ = ["TrainRequest", "train_checkpoint"]

_PAD_UP_TO = 4 / 3
"""Images are padded up to the network's size if it is at most so many times theirs, and scaled beyond."""


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, and where the checkpoint goes.

    Attributes:
        output: the .safetensors of the best epoch; the last one goes to `*.last.safetensors` beside it.
        model: a preset or `package.module:factory`.
        model_args: arguments of the model.
        data: what to train on.
        spec_data: what later commands use when not told otherwise; its labels go into the Spec. Empty: `data`.
        input_size: (H, W) of the input; None: the preset's.
        init: a checkpoint to start from.
        options: of the loop.
        hold_out: part of the training images that chooses the best epoch; the test images only judge the result.
        resume: go on from the resume state beside the output. Where the context has a resume folder, the state lies
            there and is gone on from in any case.
        force: replace an existing output.
    """

    output: Path
    model: str = "attendnext_nano"
    model_args: dict[str, object] = field(default_factory=dict)
    data: str = "fashion-mnist-mini"
    spec_data: str = ""
    input_size: tuple[int, int] | None = None
    init: Path | None = None
    options: TrainOptions = field(default_factory=TrainOptions)
    hold_out: float = 0.05
    resume: bool = False
    force: bool = False


def train_checkpoint(request: TrainRequest, context: Context) -> dict[str, Any]:
    """Train, write both checkpoints, and return a summary: paths, accuracies (0..1), parameters, curve.

    Raises:
        AttendcError: of the kind that fits; nothing is written but the resume state.
    """
    if request.output.suffix != ".safetensors":
        raise OutputError(f"{request.output} does not end in .safetensors")
    for path in (request.output, _last_path(request.output)):
        check_writable(path)
        if path.exists() and not request.force:
            raise OutputError(f"{path} exists already", hint="Add --force to replace it")
    context.check_device()
    dataset = load_dataset(request.data, seed=context.seed)
    labels = load_dataset(request.spec_data).labels if request.spec_data else dataset.labels
    if len(labels) != len(dataset.labels):
        raise DataError(f"{request.spec_data} has {len(labels)} classes, {request.data} has {len(dataset.labels)}")
    architecture = _architecture(request, len(labels))
    if request.init is None:
        torch_seed(context.seed)
        model = build(architecture, allow_foreign=True)
    else:
        weights = read_weights(request.init)
        architecture = _as_pruned(architecture, weights.spec)
        model = load_model(weights, architecture, allow_foreign=True)
    preprocess = _preprocess(request, architecture, dataset)
    _check_runs(model, preprocess, len(labels), request.data)
    spec = Spec(architecture, preprocess, labels, request.spec_data or request.data)
    chosen, chooser = hold_out(dataset.train, request.hold_out, seed=context.seed)
    beside = request.output.with_name(f"{request.output.stem}.resume")
    result = train(
        model,
        Task(chosen, chooser, preprocess),
        request.options,
        context,
        state_file=context.state_file("train") or beside,
        resume=request.resume,
    )
    summary = _write(request, context, model, dataset, spec, result)
    if context.resume_folder is None:  # what lies in there is its owner's
        beside.unlink(missing_ok=True)
    return summary


def torch_seed(seed: int) -> None:
    """Seed torch, so that fresh weights are the same in every run."""
    torch.manual_seed(seed)


def _last_path(output: Path) -> Path:
    return output.with_suffix(".last.safetensors")


def _architecture(request: TrainRequest, classes: int) -> Architecture:
    """Return what `--model` means for the data's classes, which --model-arg may repeat but not contradict."""
    asked = request.model_args.get("classes", classes)
    if ":" not in request.model and asked != classes:
        raise UsageError(
            f"classes is {asked}, but {request.data} has {classes} classes",
            hint="Leave out --model-arg classes=",
        )
    return resolve(request.model, request.model_args, classes=classes)


def _as_pruned(architecture: Architecture, spec: Spec | None) -> Architecture:
    """Return the architecture with what pruning took out of the network that training starts from."""
    if spec is None or spec.architecture.factory != architecture.factory:
        return architecture
    return replace(architecture, surgery=spec.architecture.surgery)


def _check_runs(model: nn.Module, preprocess: Preprocess, classes: int, data: str) -> None:
    """Run the network on one image, so that what does not fit is told before hours of work and in our words."""
    x = torch.zeros(1, *preprocess.input_shape)
    try:
        with torch.no_grad():
            found = tuple(model.eval()(x).shape)
    except Exception as e:  # the network may be the user's, whose code may raise anything
        raise CheckpointError(
            f"the network does not run on {tuple(x.shape)}: {type(e).__name__}: {e}",
            hint="Give the size it takes: --input-size HxW",
        ) from e
    if found != (1, classes):
        raise CheckpointError(
            f"the network gives {found} for one image, but {data} has {classes} classes",
            hint="Give its factory the number of classes with --model-arg",
        )


def _preprocess(request: TrainRequest, architecture: Architecture, dataset: Dataset) -> Preprocess:
    """Return the preprocessing that suits the model's input and the data's pixels."""
    channels, height, width = PRESET_INPUTS.get(request.model, (3, 224, 224))
    channels = architecture.args.get("in_channels", channels)
    height, width = request.input_size or (height, width)
    mean, std = pixel_statistics(dataset.train, channels=channels)
    rows, columns = dataset.train.read([0])[0].shape[:2]
    near = height <= rows * _PAD_UP_TO and width <= columns * _PAD_UP_TO
    fit: Fit = "pad" if near and height >= rows and width >= columns else "resize"
    return Preprocess(height, width, channels, mean, std, fit)


def _write(
    request: TrainRequest,
    context: Context,
    model: Any,
    dataset: Dataset,
    spec: Spec,
    result: TrainResult,
) -> dict[str, Any]:
    """Measure both checkpoints on the test images and write them."""
    paths = {"last": _last_path(request.output), "best": request.output}
    summary: dict[str, Any] = {"checkpoint": str(request.output), "curve": list(result.curve)}
    for name, weights in (("last", result.last), ("best", result.best)):
        model.load_state_dict(weights)
        reached = accuracy(model, dataset.test, spec.preprocess)
        step = {
            "step": "train",
            "data": request.data,
            "seed": context.seed,
            "epoch": name,
            "options": asdict(request.options),
            "test_accuracy": reached,
            "test_images": len(dataset.test),
        }
        save_checkpoint(paths[name], model, spec.after(**step))
        summary[f"{name}_accuracy"] = reached
    summary["test_images"] = len(dataset.test)
    summary["params"] = sum(p.numel() for p in model.parameters())
    return summary
