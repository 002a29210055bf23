"""The job of `attendc quantize`: a checkpoint goes in, proven int8 artefacts come out, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.compress.pruning.prune import PruneOptions
from attendc.compress.ptq import Ranges
from attendc.context import Context
from attendc.converters.tflite_io import Io
from attendc.errors import UsageError
from attendc.jobs.building import recipe_of
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, run_recipe
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.loop import loop_fields, loop_options
from attendc.stages.prune import prune_config
from attendc.stages.quantize_config import RANDOM, QuantizeConfig
from attendc.stages.verify_config import VerifyConfig
from attendc.train import TrainOptions

__all__ = ["QAT_OPTIONS", "QuantizeRequest", "quantize_checkpoint", "quantize_recipe"]

QAT_OPTIONS = loop_options(QuantizeConfig())
"""Short and gentle: the network is trained already, and its float self tells it what to say."""


@dataclass(frozen=True)
class QuantizeRequest:
    """What to quantize and how.

    Attributes:
        checkpoint: the checkpoint, and what its Spec does not say; or a model without one.
        output: the folder to make.
        calib: number of calibration images, or `random` to do without data.
        ranges: how PTQ chooses ranges: `minmax`, `percentile`, `mse`.
        prune: what to prune first, and how to recover; None: nothing.
        qat: options of quantization-aware training; None: PTQ only.
        formats: of the artefacts.
        dtypes: of the artefacts.
        io: type of the int8 TFLite file's input and output.
        opset: of ONNX; None: the default of `attendc.converters.to_onnx`.
        ir_version: of the ONNX file; None: the default.
        gates: what must hold.
        images: how many images verification looks at; None: by the size of the network.
        allow_float: let operators that cannot be int8 stay float.
        gate: refuse to write artefacts that fail verification.
        verify: prove the artefacts; without it they are stamped as not verified, and `gates` and `gate` mean nothing.
        force: replace an existing folder.
        cached: take finished stages from the cache, and keep them there.
    """

    checkpoint: CheckpointRequest
    output: Path
    calib: int | str = 256
    ranges: Ranges = "mse"
    prune: PruneOptions | None = None
    qat: TrainOptions | None = None
    formats: Sequence[str] = ("tflite", "onnx", "torchscript")
    dtypes: Sequence[str] = ("int8", "float32")
    io: Io = "int8"
    opset: int | None = None
    ir_version: int | None = None
    gates: Gates = field(default_factory=Gates)
    images: int | None = None
    allow_float: bool = False
    gate: bool = True
    verify: bool = True
    force: bool = False
    cached: bool = True


def quantize_recipe(request: QuantizeRequest, context: Context) -> Recipe:
    """Return the recipe that a request means.

    Raises:
        UsageError: if training or pruning is asked for without data.
    """
    if request.calib == RANDOM and (request.qat is not None or request.prune is not None):
        named = "--qat" if request.qat is not None else "--prune"
        raise UsageError(f"{named} needs images", hint=f"Leave out --calib random, or leave out {named}")
    pruning = prune_config(request.prune, images=request.images) if request.prune is not None else None
    training: dict[str, Any] = {} if request.qat is None else {"mode": "qat", **loop_fields(request.qat)}
    stages = {
        "prune": pruning,
        "quantize": QuantizeConfig(
            calib=request.calib,  # type: ignore[arg-type]
            ranges=request.ranges,
            allow_float=request.allow_float,
            **training,
        ),
        "convert": ConvertConfig(
            tuple(request.formats),  # type: ignore[arg-type]
            tuple(request.dtypes),  # type: ignore[arg-type]
            request.io,
            request.opset,
            request.ir_version,
            request.allow_float,
        ),
        "verify": VerifyConfig(request.images, request.gates.min_agreement, request.gates.max_drop_points, request.gate)
        if request.verify
        else None,
    }
    return recipe_of(f"{request.checkpoint.name}-int8", request.checkpoint, stages, context)


def quantize_checkpoint(request: QuantizeRequest, context: Context) -> dict[str, Any]:
    """Do the main job and return the manifest.

    Raises:
        AttendcError: of the kind that fits; then no folder is left behind.
    """
    options = RunOptions(request.output, request.force, request.cached, command="quantize")
    return run_recipe(quantize_recipe(request, context), context, options).manifest
