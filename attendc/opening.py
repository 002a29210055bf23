"""From what the user typed about a checkpoint to a network with its Spec; every job opens checkpoints here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attendc.checkpoint import Weights, load_model, read_weights
from attendc.context import Context
from attendc.data.images import Dataset, evenly
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.errors import CheckpointError, DataError, UsageError
from attendc.models.fresh import fresh_network
from attendc.models.registry import input_of, resolve
from attendc.recipe import is_preset_file
from attendc.request import CheckpointRequest
from attendc.types import Preprocess, Spec

__all__ = [
    "CheckpointRequest",
    "Opened",
    "check_outputs",
    "dataset_of",
    "load_checkpoint",
    "open_checkpoint",
    "open_dataset",
    "open_told",
    "some_inputs",
]

SAMPLES = 16
"""Images that a change is compared on, unless told otherwise."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Opened:
    """A network in eval mode with its weights, and all that is known about it."""

    model: nn.Module
    spec: Spec
    weights: Weights


def open_checkpoint(request: CheckpointRequest, *, seed: int = 0) -> Opened:
    """Read, build and fill; without a path build `model` with weights that are random by the seed.

    Raises:
        UsageError: if neither a path nor a model is given, or an option of the one with the other.
        CheckpointError: of any kind that `attendc.checkpoint` knows, or if the architecture is not known.
        DataError: if preprocessing that the command gives does not fit.
    """
    if request.path is None:
        return _fresh(request, seed)
    if request.classes is not None:
        raise UsageError(
            f"classes={request.classes} is of a preset without a checkpoint",
            hint=f"Leave it out: {request.path.name} has its own; where it does not say, --model-arg classes=N",
        )
    weights = read_weights(request.path, trust=request.trust, key=request.weights_key)
    spec = weights.spec
    if spec is None and not request.model:
        raise CheckpointError(
            f"{request.path} does not say which network it belongs to",
            hint="Add --model PRESET or --model package.module:factory (with --model-arg K=V)",
        )
    if spec is None or request.model:
        spec = _spec_of_foreign(request, weights)
    spec = replace(spec, preprocess=_overridden(spec.preprocess, request))
    if request.data:
        spec = replace(spec, data=request.data)
    model = load_model(weights, spec.architecture, allow_foreign=bool(request.model))
    return Opened(model, spec, weights)


def load_checkpoint(path: Path | str | None = None, *, seed: int = 0, **said: Any) -> Opened:
    """Open a checkpoint of attendc's, or any other with what it does not say itself; or a model without one.

        opened = attendc.load_checkpoint("ckpt.safetensors")
        opened = attendc.load_checkpoint("my.pt", model="package.module:factory", mean=(0.5,), std=(0.25,))
        opened = attendc.load_checkpoint(model="attendnext", classes=1000)

    Args:
        path: .safetensors, .pt, .pth, .bin or .ckpt; nothing is unpickled that could run code. None: random weights.
        seed: of random weights.
        said: fields of `CheckpointRequest`.

    Raises:
        UsageError: if neither a path nor a model is given.
        CheckpointError: if it cannot be read, trusted, built or filled.
        DataError: if preprocessing that is given does not fit.
    """
    return open_checkpoint(CheckpointRequest(None if path is None else Path(path), **said), seed=seed)


def open_told(request: CheckpointRequest, context: Context) -> Opened:
    """Open a checkpoint, and say what was chosen or left aside in it; raises what `open_checkpoint` does."""
    opened = open_checkpoint(request, seed=context.seed)
    for note in opened.weights.notes:
        context.warn(note)
    return opened


def dataset_of(spec: Spec, *, seed: int) -> Dataset | None:
    """Open the data of a Spec; None where it names none."""
    return open_dataset(spec, seed=seed) if spec.data else None


def open_dataset(spec: Spec, *, seed: int) -> Dataset:
    """Open the data of a Spec and check that its classes fit the network's outputs.

    Raises:
        DataError: if no data is known, or it has more classes than the network has outputs.
    """
    if not spec.data:
        raise DataError(
            "no data is known for this checkpoint",
            hint="Add --data NAME_OR_PATH, or --calib random to quantize without any",
        )
    dataset = load_dataset(spec.data, seed=seed)
    if spec.labels:
        _check_classes(dataset, spec.classes)
    return dataset


def some_inputs(spec: Spec, context: Context, *, count: int = SAMPLES) -> Tensor | None:
    """Return a few real inputs, float32 (N, C, H, W), on which a changed graph is compared.

    None where no data is known; where it cannot be read that is said too.
    """
    try:
        dataset = dataset_of(spec, seed=context.seed)
    except DataError as e:
        context.warn(f"changes are compared on made-up inputs: {e.message}")
        return None
    if dataset is None:
        return None
    chosen = evenly(dataset.train, count)
    x, _ = next(batches(chosen, spec.preprocess, batch_size=len(chosen)))
    return x


def check_outputs(network: nn.Module, spec: Spec, dataset: Dataset) -> None:
    """Check the same of a network itself, since a foreign checkpoint does not name its classes.

    Raises:
        DataError: if the data has more classes than the network has outputs.
    """
    with torch.no_grad():
        _check_classes(dataset, network(torch.zeros(1, *spec.preprocess.input_shape)).shape[1])


def _check_classes(dataset: Dataset, outputs: int) -> None:
    if len(dataset.labels) > outputs:
        raise DataError(
            f"{dataset.name} has {len(dataset.labels)} classes, the network has {outputs} outputs",
            hint="Give the data the network was trained on, with --data",
        )


def _fresh(request: CheckpointRequest, seed: int) -> Opened:
    """Return a network without a checkpoint; its input is normalised as is usual, since none was trained on."""
    if not request.model:
        raise UsageError(
            "neither a checkpoint nor a model is given", hint="Give a checkpoint, or --model PRESET for random weights"
        )
    told = [
        name for name, value in (("weights-key", request.weights_key), ("trust-checkpoint", request.trust)) if value
    ]
    if told:
        raise UsageError(f"--{told[0]} means nothing without a checkpoint", hint="Leave it out, or give a checkpoint")
    is_preset = ":" not in request.model or is_preset_file(request.model)
    if not is_preset and request.classes is not None:
        raise UsageError(
            f"classes={request.classes} is of presets; {request.model} has arguments of its own",
            hint=f"For example --model-arg num_classes={request.classes}",
        )
    architecture = resolve(request.model, request.model_args, classes=request.classes)
    _, height, width = shape = request.input_shape or input_of(request.model)
    channels = shape[0] if request.input_shape else int(architecture.args.get("in_channels", shape[0]))
    preprocess = _overridden(Preprocess(height, width, channels, *_usual(channels)), request)
    model = fresh_network(architecture, preprocess.input_shape, seed=seed)
    origin = f"random (seed {seed}), not trained"
    spec = Spec(architecture, preprocess, (), request.data).after(step="random weights", seed=seed)
    return Opened(model, spec, Weights({}, None, "", notes=(f"weights: {origin}",), origin=origin))


def _usual(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation that are usual for so many channels."""
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels, (0.5,) * channels)


def _spec_of_foreign(request: CheckpointRequest, weights: Weights) -> Spec:
    known = weights.spec
    architecture = resolve(request.model, request.model_args)
    if known is not None:
        same = known.architecture.factory == architecture.factory and not request.model_args
        return known if same else replace(known, architecture=replace(architecture, surgery=known.architecture.surgery))
    shape = request.input_shape or input_of(request.model)
    channels = shape[0]
    default = _usual(channels)
    if not (request.mean and request.std):
        raise DataError(
            "the preprocessing of a checkpoint without a Spec is not known",
            hint=f"Add --mean and --std, for example --mean {_commas(default[0])} --std {_commas(default[1])}",
        )
    preprocess = Preprocess(shape[1], shape[2], channels, request.mean, request.std)
    return Spec(architecture, preprocess, ())


def _overridden(preprocess: Preprocess, request: CheckpointRequest) -> Preprocess:
    changes: dict[str, object] = {}
    if request.input_shape is not None:
        channels, height, width = request.input_shape
        changes |= {"channels": channels, "height": height, "width": width}
    changes |= {k: v for k, v in (("mean", request.mean), ("std", request.std)) if v}
    if request.fit is not None:
        changes["fit"] = request.fit
    changed = replace(preprocess, **changes)  # type: ignore[arg-type]
    for name, values in (("mean", changed.mean), ("std", changed.std)):
        if len(values) not in (1, changed.channels):
            raise DataError(f"--{name} has {len(values)} values for {changed.channels} channels")
    return changed


def _commas(values: tuple[float, ...]) -> str:
    return ",".join(str(v) for v in values)
