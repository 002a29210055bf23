"""The step `train`: from a data set to a checkpoint that knows everything about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attendc.artefacts import checkpoint_entry
from attendc.checkpoint import load_model, read_weights, save_checkpoint
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.data.preprocess import suited
from attendc.data.sources import load_dataset
from attendc.errors import CheckpointError, DataError, UsageError
from attendc.metrics import count_params
from attendc.models.registry import build, input_of, resolve
from attendc.recipe import ModelSection, is_preset_file
from attendc.stages.loop import loop_options
from attendc.stages.model_facts import model_facts
from attendc.stages.train_config import DEFAULT_DATA, DEFAULT_MODEL, TrainConfig
from attendc.stages.work import CHECKPOINT, SOURCE, Made, Work
from attendc.train import Task, TrainOptions, TrainResult, accuracy, hold_out, train
from attendc.types import Architecture, Preprocess, Spec

__all__ = ["LAST", "TRAINED", "TrainedNetwork", "run", "train_network"]

TRAINED, LAST = "model.trained.safetensors", "model.trained.last.safetensors"


@dataclass(frozen=True)
class TrainedNetwork:
    """What `train_network` returns.

    Attributes:
        model: the network; its weights are those of no epoch in particular until one of `result` is loaded.
        spec: of the network, before the training is told in it.
        dataset: what it was trained on.
        result: weights and held-out accuracy of the best and of the last epoch, and the curve.
    """

    model: nn.Module
    spec: Spec
    dataset: Dataset
    result: TrainResult


def train_network(
    model: ModelSection, data: str, config: TrainConfig | None = None, context: Context | None = None
) -> TrainedNetwork:
    """Train a preset or a network of the user's, from fresh weights or from those of `model.checkpoint`.

    Raises:
        UsageError: if the model is not known, or the loss stops being a number.
        DataError: if the data is missing, or of other classes than `config.spec_data`.
        CheckpointError: if the weights to start from do not fit, or the network does not run on the images.
    """
    config, context = config or TrainConfig(), context or Context()
    dataset = load_dataset(data, seed=context.seed)
    labels = load_dataset(config.spec_data).labels if config.spec_data else dataset.labels
    if len(labels) != len(dataset.labels):
        raise DataError(f"{config.spec_data} has {len(labels)} classes, {data} has {len(dataset.labels)}")
    name = model.name or model.factory or DEFAULT_MODEL
    if model.classes not in (None, len(labels)):
        raise UsageError(f"classes is {model.classes}, but {data} has {len(labels)} classes", hint="Leave it out")
    architecture = _architecture(name, model.args, len(labels), data)
    network, architecture = _network(model.checkpoint, architecture, context)
    preprocess = _preprocess(name, config, architecture, dataset)
    _check_runs(network, preprocess, len(labels), data)
    spec = Spec(architecture, preprocess, labels, config.spec_data or data)
    chosen, chooser = hold_out(dataset.train, config.hold_out, seed=context.seed)
    task = Task(chosen, chooser, preprocess)
    result = train(network, task, loop_options(config), context, state_file=context.state_file("train"))
    return TrainedNetwork(network, spec, dataset, result)


def run(config: TrainConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: the checkpoints of the best and of the last epoch."""
    data = work.data or DEFAULT_DATA
    trained = train_network(work.model, data, config, context)
    options, entries, history = loop_options(config), {}, {}
    summary: dict[str, Any] = {"test_images": len(trained.dataset.test), "params": count_params(trained.model)}
    for epoch, name, weights in (
        ("last", LAST, trained.result.last),
        ("best", TRAINED, trained.result.best),
    ):
        spec = _write(folder / name, trained, weights, data, epoch, options, context)
        entries[name] = checkpoint_entry(folder / name)
        history[epoch] = spec.history
        summary[f"{epoch}_accuracy"] = spec.history[-1]["test_accuracy"]
    curve = list(trained.result.curve)
    told = {
        "inputs": {"data": data},
        "model": model_facts(trained.model, trained.spec),
        "history": list(history["best"]),
        "outputs": entries,
        "curves": [{"title": "training", "rows": curve}] if curve else [],
        "training": summary,
    }
    return Made(told, {CHECKPOINT: TRAINED, SOURCE: TRAINED})


def _write(
    path: Path,
    trained: TrainedNetwork,
    weights: dict[str, Tensor],
    data: str,
    epoch: str,
    options: TrainOptions,
    context: Context,
) -> Spec:
    """Measure one checkpoint on the test images, write it, and return its Spec."""
    trained.model.load_state_dict(weights)
    reached = accuracy(trained.model, trained.dataset.test, trained.spec.preprocess)
    spec = trained.spec.after(
        step="train",
        data=data,
        seed=context.seed,
        epoch=epoch,
        options=asdict(options),
        test_accuracy=reached,
        test_images=len(trained.dataset.test),
    )
    save_checkpoint(path, trained.model, spec)
    return spec


def _architecture(name: str, args: dict[str, Any], classes: int, data: str) -> Architecture:
    """Return what the model's name means for the data's classes, which the arguments may repeat but not contradict."""
    asked = args.get("classes", classes)
    if (":" not in name or is_preset_file(name)) and asked != classes:
        raise UsageError(
            f"classes is {asked}, but {data} has {classes} classes",
            hint="Leave out --model-arg classes=",
        )
    return resolve(name, args, classes=classes)


def _network(init: str, architecture: Architecture, context: Context) -> tuple[nn.Module, Architecture]:
    """Return a network with fresh weights, or with those of a checkpoint, and then as pruned as that one is."""
    if not init:
        torch.manual_seed(context.seed)
        return build(architecture, allow_foreign=True), architecture
    weights = read_weights(Path(init))
    spec = weights.spec
    if spec is not None and spec.architecture.factory == architecture.factory:
        architecture = replace(architecture, surgery=spec.architecture.surgery)
    return load_model(weights, architecture, allow_foreign=True), architecture


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


def _preprocess(name: str, config: TrainConfig, architecture: Architecture, dataset: Dataset) -> Preprocess:
    """Return the preprocessing that suits the model's input and the data's pixels."""
    channels, height, width = input_of(name)
    channels = architecture.args.get("in_channels", channels)
    height, width = config.input_size or (height, width)
    return suited(dataset.train, channels, height, width)
