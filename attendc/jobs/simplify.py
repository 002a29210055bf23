"""The job of `attendc simplify`: a network goes in, a file of fewer operators and the same function comes out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.artefacts import FLOAT_PROGRAM
from attendc.context import Context
from attendc.converters.onnx_simplify import simplify_onnx_file
from attendc.errors import OutputError, UsageError
from attendc.jobs.building import recipe_of
from attendc.jobs.outputs import check_new, write_together
from attendc.opening import CheckpointRequest
from attendc.recipe import Recipe
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.simplify_config import SimplifyConfig

__all__ = ["SimplifyRequest", "simplify_recipe", "simplify_source"]

_ONNX = ".onnx"


@dataclass(frozen=True)
class SimplifyRequest:
    """What to simplify and how.

    Attributes:
        source: a checkpoint, and what its Spec does not say; or an .onnx.
        output: the .pt2 to write, or the .onnx.
        config: which passes, proven on what; an .onnx has other passes and no choice among them.
        force: replace an existing output.
        cached: take what was done before from the cache, and keep it there.
    """

    source: CheckpointRequest
    output: Path
    config: SimplifyConfig = dataclasses.field(default_factory=SimplifyConfig)
    force: bool = False
    cached: bool = True


def simplify_recipe(request: SimplifyRequest, context: Context) -> Recipe:
    """Return the recipe that a request means.

    Raises:
        UsageError: of an .onnx, which no stage of a recipe takes.
    """
    path = request.source.file
    if path.suffix == _ONNX:
        raise UsageError(f"simplifying {path} is no recipe", hint="Stages take checkpoints; leave out --print-recipe")
    return recipe_of(f"{path.stem}-simplified", request.source, {"simplify": request.config}, context)


def simplify_source(request: SimplifyRequest, context: Context) -> dict[str, Any]:
    """Simplify, write the file, and return what changed.

    Returns:
        `before` and `after` (`ops`, `nodes`, `bytes`; of a checkpoint `macs`), `passes` (a row each; none of an
        .onnx), `proven_on`, `notes` on what was left out, and `output`.

    Raises:
        UsageError: if a pass is named that there is not.
        OutputError: if the output cannot be written, exists without `force`, or has another suffix than it is due.
        AttendcError: of the kind that fits, if the source cannot be read.
    """
    is_onnx = request.source.file.suffix == _ONNX
    _check_output(request, _ONNX if is_onnx else ".pt2")
    return _of_onnx(request, context) if is_onnx else _of_checkpoint(request, context)


def _of_checkpoint(request: SimplifyRequest, context: Context) -> dict[str, Any]:
    options = RunOptions(cached=request.cached, command="simplify")
    with executed_recipe(simplify_recipe(request, context), context, options) as executed:
        write_together({request.output: executed.work.files[FLOAT_PROGRAM].read_bytes()})
        found = executed.work.told["simplified"]
    left_out = [f"{row['pass']} is left out: {row['left_out']}" for row in found["passes"] if row["left_out"]]
    return _told(request, {**found, "notes": left_out})


def _of_onnx(request: SimplifyRequest, context: Context) -> dict[str, Any]:
    if request.config != SimplifyConfig():
        raise UsageError("an .onnx has passes of its own", hint="Leave out --passes, --skip and --images")
    done = simplify_onnx_file(request.source.file, request.output, seed=context.seed)
    for note in done.notes:
        context.warn(note)
    before = {"ops": done.before, "nodes": done.nodes_before, "bytes": done.bytes_before}
    after = {"ops": done.after, "nodes": done.nodes_after, "bytes": done.bytes_after}
    found = {"before": before, "after": after, "passes": [], "proven_on": "random inputs", "notes": list(done.notes)}
    return _told(request, found)


def _told(request: SimplifyRequest, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "attendc": __version__,
        "command": "simplify",
        "source": str(request.source.file),
        "output": str(request.output),
        **found,
    }


def _check_output(request: SimplifyRequest, suffix: str) -> None:
    source, output = request.source.file, request.output
    if output.suffix != suffix:
        raise OutputError(f"{output} does not end in {suffix}", hint=f"What {source} becomes is a {suffix}")
    if output.exists() and source.exists() and output.samefile(source):
        raise OutputError(f"{output} is the source itself", hint="Give another place with -o")
    check_new(output, force=request.force)
