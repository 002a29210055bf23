"""The job of `attendc train`: from a data set to a checkpoint that knows everything about itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.errors import OutputError, UsageError
from attendc.jobs.building import assembled, named
from attendc.jobs.outputs import check_new, write_together
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.loop import loop_fields
from attendc.stages.train import LAST, TRAINED
from attendc.stages.train_config import DEFAULT_DATA, DEFAULT_MODEL, TrainConfig
from attendc.train import TrainOptions

__all__ = ["TrainRequest", "train_checkpoint", "train_recipe"]


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, and where the checkpoint goes.

    Attributes:
        output: the .safetensors of the best epoch; the last one goes to `*.last.safetensors` beside it.
        model: a preset, the path of one's YAML, or `package.module:factory`.
        model_args: arguments of the model.
        data: what to train on.
        spec_data: what later commands use when not told otherwise; its labels go into the Spec. Empty: `data`.
        input_size: (H, W) of the input; None: the preset's.
        init: a checkpoint to start from.
        options: of the loop.
        hold_out: part of the training images that chooses the best epoch; the test images only judge the result.
        force: replace an existing output.
        cached: take what was done before from the cache, and keep it there.
    """

    output: Path
    model: str = DEFAULT_MODEL
    model_args: dict[str, object] = field(default_factory=dict)
    data: str = DEFAULT_DATA
    spec_data: str = ""
    input_size: tuple[int, int] | None = None
    init: Path | None = None
    options: TrainOptions = field(default_factory=TrainOptions)
    hold_out: float = 0.05
    force: bool = False
    cached: bool = True


def train_recipe(request: TrainRequest, context: Context) -> Recipe:
    """Return the recipe that a request means.

    Raises:
        UsageError: if the options ask for a teacher, since there is none.
    """
    loop = loop_fields(request.options)
    distill, _ = loop.pop("distill"), loop.pop("temperature")
    if distill > 0:
        raise UsageError(f"distill is {distill}, but there is no teacher", hint="Leave it out")
    config = TrainConfig(hold_out=request.hold_out, input_size=request.input_size, spec_data=request.spec_data, **loop)
    init = str(request.init) if request.init is not None else ""
    model = replace(named(request.model), checkpoint=init, args=dict(request.model_args))
    return assembled(request.output.stem, model, request.data, {"train": config}, context)


def train_checkpoint(request: TrainRequest, context: Context) -> dict[str, Any]:
    """Train, write both checkpoints, and return a summary: paths, accuracies (0..1), parameters, curve.

    Raises:
        AttendcError: of the kind that fits; nothing is written then, and the same request goes on where it was.
    """
    last = request.output.with_suffix(".last.safetensors")
    if request.output.suffix != ".safetensors":
        raise OutputError(f"{request.output} does not end in .safetensors")
    for path in (request.output, last):
        check_new(path, force=request.force)
    options = RunOptions(cached=request.cached, command="train")
    with executed_recipe(train_recipe(request, context), context, options) as executed:
        told, files = executed.work.told, executed.work.files
        write_together({last: files[LAST].read_bytes(), request.output: files[TRAINED].read_bytes()})
    curve = told["curves"][0]["rows"] if told["curves"] else []
    return {"checkpoint": str(request.output), "curve": curve, **told["training"]}
