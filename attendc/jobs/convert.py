"""The job of `attendc convert`: a checkpoint, a saved graph or a folder of attendc's becomes files for runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.converters.tflite_io import Io
from attendc.jobs.building import recipe_of
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, run_recipe
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.verify_config import VerifyConfig

__all__ = ["ConvertRequest", "convert_recipe", "convert_source"]


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert: `source` is a checkpoint, a model without one, or a .pt2 or folder of `attendc quantize`.

    Attributes:
        source: as above; its `data` is what the result is verified on.
        output: the folder to make.
        formats: of the artefacts.
        dtypes: of the artefacts; int8 needs a quantized source.
        io: type of the int8 TFLite file's input and output.
        opset: of ONNX; None: the default of `attendc.converters.to_onnx`.
        ir_version: of the ONNX file; None: the default.
        gates: what must hold.
        images: how many images verification looks at; None: by the size of the network.
        verify: prove the artefacts; without it they are stamped as not verified, and `gates` means nothing.
        force: replace an existing folder.
        cached: take finished stages from the cache, and keep them there.
    """

    source: CheckpointRequest
    output: Path
    formats: Sequence[str] = ("tflite", "onnx", "torchscript")
    dtypes: Sequence[str] = ("float32",)
    io: Io = "int8"
    opset: int | None = None
    ir_version: int | None = None
    gates: Gates = field(default_factory=Gates)
    images: int | None = None
    verify: bool = True
    force: bool = False
    cached: bool = True


def convert_recipe(request: ConvertRequest, context: Context) -> Recipe:
    """Return the recipe that a request means."""
    formats, dtypes = tuple(request.formats), tuple(request.dtypes)
    stages = {
        "convert": ConvertConfig(
            formats,  # type: ignore[arg-type]
            dtypes,  # type: ignore[arg-type]
            request.io,
            request.opset,
            request.ir_version,
            allow_float=True,
        ),
        "verify": VerifyConfig(request.images, request.gates.min_agreement, request.gates.max_drop_points)
        if request.verify
        else None,
    }
    return recipe_of(f"{request.source.name}-converted", request.source, stages, context)


def convert_source(request: ConvertRequest, context: Context) -> dict[str, Any]:
    """Convert, verify, and return the manifest.

    Raises:
        AttendcError: of the kind that fits; then no folder is left behind.
    """
    options = RunOptions(request.output, request.force, request.cached, command="convert")
    return run_recipe(convert_recipe(request, context), context, options).manifest
