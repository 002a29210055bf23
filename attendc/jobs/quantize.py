"""The main job: a checkpoint goes in, proven int8 artefacts come out, in a folder that appears whole or not at all."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from attendc import __version__
from attendc.checkpoint import save_checkpoint
from attendc.compress.capture import capture, probe
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.pruning.plan import plan_to_json
from attendc.compress.pruning.prune import PruneOptions
from attendc.compress.ptq import Ranges, calibrate
from attendc.compress.qat import train_quantized
from attendc.compress.tensors import check_supported, unsupported
from attendc.context import Context
from attendc.converters.program import load_program, save_program
from attendc.converters.tflite_io import Io
from attendc.data.images import Dataset, Images, evenly
from attendc.data.preprocess import batches, random_images
from attendc.errors import DataError, UsageError
from attendc.files import new_folder
from attendc.jobs.artefacts import (
    FLOAT_PROGRAM,
    PROGRAM,
    Sources,
    output_entries,
    write_artefacts,
)
from attendc.jobs.prune import prune_opened, pruned_spec
from attendc.manifest import file_entry, versions, write_manifest
from attendc.metrics import count_macs, count_params
from attendc.opening import CheckpointRequest, Opened, check_outputs, open_checkpoint, open_dataset
from attendc.parity import WITNESS, Candidate, Gates, Report, check_gates, default_images, is_int8, verify
from attendc.train import Task, TrainOptions, hold_out
from attendc.types import Spec, Stamp

__all__ = ["QAT_OPTIONS", "QuantizeRequest", "quantize"]

RANDOM = "random"
PRUNED = "model.pruned.safetensors"
QAT_OPTIONS = TrainOptions(epochs=2, lr=5e-4, weight_decay=0.0, warmup=0.1, label_smoothing=0.0, shift=1, distill=0.9)
"""Short and gentle: the network is trained already, and its float self tells it what to say."""


@dataclass(frozen=True)
class QuantizeRequest:
    """What to quantize and how.

    Attributes:
        checkpoint: the checkpoint, and what its Spec does not say.
        output: the folder to make.
        calib: number of calibration images, or `random` to do without data.
        ranges: how PTQ chooses ranges: `minmax`, `percentile`, `mse`.
        prune: what to prune first, and how to recover; None: nothing.
        qat: options of quantization-aware training; None: PTQ only.
        formats: of the artefacts.
        dtypes: of the artefacts.
        io: type of the int8 TFLite file's input and output.
        gates: what must hold.
        images: how many images verification looks at; None: by the size of the network.
        allow_float: let operators that cannot be int8 stay float.
        gate: refuse to write artefacts that fail verification.
        force: replace an existing folder.
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
    gates: Gates = field(default_factory=Gates)
    images: int | None = None
    allow_float: bool = False
    gate: bool = True
    force: bool = False


def quantize(request: QuantizeRequest, context: Context) -> dict[str, Any]:
    """Do the main job and return the manifest.

    Raises:
        AttendcError: of the kind that fits; then no folder is left behind.
    """
    context.check_device()
    random = request.calib == RANDOM
    if random and (request.qat is not None or request.prune is not None):
        named = "--qat" if request.qat is not None else "--prune"
        raise UsageError(f"{named} needs images", hint=f"Leave out --calib random, or leave out {named}")
    with new_folder(request.output, force=request.force) as folder:
        torch.manual_seed(context.seed)
        opened = open_checkpoint(request.checkpoint)
        for note in opened.weights.notes:
            context.warn(note)
        dataset = None if random else open_dataset(opened.spec, seed=context.seed)
        unpruned = opened
        opened, table, pruning = _pruned(folder, request, unpruned, dataset, context)
        floating = capture(opened.model, opened.spec.preprocess)
        if dataset is not None:
            check_outputs(floating, opened.spec, dataset)
        graph, steps = _quantized(request, opened, unpruned.model, floating, dataset, context)
        sources = _save_graphs(folder, request, opened, floating, graph, dataset)
        made = write_artefacts(
            folder,
            sources,
            formats=request.formats,
            dtypes=request.dtypes,
            io=request.io,
            allow_float=request.allow_float,
            context=context,
        )
        report = verify(
            made,
            network=opened.model,
            graph=sources.quantized,
            images=_images(request, unpruned, dataset),  # those that judged the steps of pruning
            preprocess=opened.spec.preprocess,
            gates=request.gates,
            context=context,
            has_labels=dataset is not None,
        )
        if request.gate:
            check_gates(report)
        for text in (*report.failures, *report.accuracy_failures):
            context.warn(f"gate failed and was overridden: {text}")
        manifest = _manifest(request, opened, floating, steps, made, report, folder, context)
        if pruning:
            manifest["pruning"] = pruning
            manifest["steps"] = [*table, *_accuracy_steps(report, table[-1])]
            _compare_bytes(made, pruning["rounds"][-1]["budget"], context)
        write_manifest(folder, manifest)
    return manifest


def _pruned(
    folder: Path, request: QuantizeRequest, opened: Opened, dataset: Dataset | None, context: Context
) -> tuple[Opened, list[dict[str, Any]], dict[str, Any]]:
    """Return the network after pruning, the table of steps, and what the manifest says; all as it was without it."""
    if request.prune is None or dataset is None:
        return opened, [], {}
    pruned = prune_opened(opened, dataset, _images(request, opened, dataset), request.prune, context)
    spec = pruned_spec(opened.spec, request.prune, pruned, context)
    save_checkpoint(folder / PRUNED, pruned.model, spec)
    told = {"plan": json.loads(plan_to_json(pruned.plan)), "rounds": list(pruned.rounds), "refused": pruned.refused}
    told["checkpoint"] = {PRUNED: file_entry(folder / PRUNED)}
    return dataclasses.replace(opened, model=pruned.model, spec=spec), list(pruned.steps), told


def _compare_bytes(made: Sequence[Candidate], budget: Mapping[str, Any], context: Context) -> None:
    """Say how far the file is from a budget in bytes, which was met by an estimate."""
    for one in made:
        if one.name == "tflite" and budget["unit"] == "bytes":
            size = one.path.stat().st_size
            context.say(f"{one.path.name}: {size:,} bytes, {size / budget['limit']:.3f} of the budget")


def _accuracy_steps(report: Report, last: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that follow those of pruning: the quantized graph, and each int8 artefact."""
    names = [name for name in report.accuracy if is_int8(name) and name != WITNESS]
    return [{**last, "step": f"int8 {name}", "accuracy": report.accuracy[name]} for name in names]


def _quantized(
    request: QuantizeRequest,
    opened: Opened,
    teacher: nn.Module,
    floating: fx.GraphModule,
    dataset: Dataset | None,
    context: Context,
) -> tuple[fx.GraphModule, list[dict[str, Any]]]:
    """Return the quantized graph and a line of history for each step."""
    ready = run_passes(copy.deepcopy(floating), INT8_PASSES)
    if request.allow_float:
        for one in unsupported(ready.graph):
            context.warn(f"stays float: {one}")
    else:
        check_supported(ready.graph)
    samples = _samples(request, opened.spec, dataset)
    corrected, plan = calibrate(ready, samples, ranges=request.ranges, context=context)
    steps: list[dict[str, Any]] = [
        {"step": "ptq", "images": len(samples), "ranges": request.ranges, "calibration": _source(request, opened)}
    ]
    if request.qat is None or dataset is None:
        return apply_plan(corrected, plan), steps
    trained, plan, step = _train(request.qat, ready, plan, opened, teacher, dataset, context)
    return apply_plan(trained, plan), [*steps, step]


def _train(
    options: TrainOptions,
    graph: fx.GraphModule,
    plan: QuantPlan,
    opened: Opened,
    teacher: nn.Module,
    dataset: Dataset,
    context: Context,
) -> tuple[fx.GraphModule, QuantPlan, dict[str, Any]]:
    """Train the quantized network, taught by the float one as it was before any pruning."""
    chosen, chooser = hold_out(dataset.train, 0.05, seed=context.seed)
    task = Task(chosen, chooser, opened.spec.preprocess, teacher.to(context.device))
    trained, plan, result = train_quantized(graph, plan, task, options, context)
    teacher.cpu()
    step = {"step": "qat", "options": dataclasses.asdict(options), "curve": list(result.curve)}
    return trained, plan, step


def _samples(request: QuantizeRequest, spec: Spec, dataset: Dataset | None) -> list[Tensor]:
    """Return calibration inputs (1, C, H, W)."""
    if dataset is None:
        return [image[None] for image in probe(spec.preprocess, 64)]
    images = evenly(dataset.train, int(request.calib))
    if len(images) == 0:
        raise DataError(f"--calib {request.calib} leaves no images", hint="256 is usual")
    return [x for x, _ in batches(images, spec.preprocess, batch_size=1)]


def _source(request: QuantizeRequest, opened: Opened) -> str:
    return RANDOM if request.calib == RANDOM else opened.spec.data


def _save_graphs(
    folder: Path,
    request: QuantizeRequest,
    opened: Opened,
    floating: fx.GraphModule,
    graph: fx.GraphModule,
    dataset: Dataset | None,
) -> Sources:
    """Write both graphs and read them back: what is converted is what was saved."""
    labels = opened.spec.labels or (dataset.labels if dataset is not None else ())
    stamp = Stamp(
        __version__,
        opened.weights.sha256,
        labels,
        opened.spec.preprocess,
        _source(request, opened),
    )
    spec = dataclasses.replace(opened.spec, labels=labels)
    save_program(folder / PROGRAM, graph, spec, stamp)
    float_stamp = dataclasses.replace(stamp, dtype="float32", calibration="")
    save_program(folder / FLOAT_PROGRAM, floating, spec, float_stamp)
    return Sources(load_program(folder / FLOAT_PROGRAM).graph, load_program(folder / PROGRAM).graph, stamp)


def _images(request: QuantizeRequest, opened: Opened, dataset: Dataset | None) -> Images:
    """Return the images to verify on; without data, random ones with no meaning but their shape."""
    count = request.images or default_images(opened.model, opened.spec.preprocess)
    if dataset is not None:
        return evenly(dataset.test, count)
    return random_images(opened.spec.preprocess, count)


def _manifest(
    request: QuantizeRequest,
    opened: Opened,
    floating: fx.GraphModule,
    steps: Sequence[dict[str, Any]],
    made: Sequence[Candidate],
    report: Report,
    folder: Path,
    context: Context,
) -> dict[str, Any]:
    path = request.checkpoint.path
    options = dataclasses.asdict(request)
    return {
        "attendc": __version__,
        "command": "quantize",
        "inputs": {
            "checkpoint": {
                "path": str(path),
                "sha256": opened.weights.sha256,
                "bytes": path.stat().st_size,
                "trusted": opened.weights.trusted,
            },
            "data": opened.spec.data,
            "calibration": _source(request, opened),
        },
        "options": options,
        "seed": context.seed,
        "versions": versions(),
        "model": {
            "params": count_params(opened.model),
            "macs": count_macs(opened.model, opened.spec.preprocess.input_shape),
        },
        "history": [*opened.spec.history, *steps],
        "passes": floating.meta.get("notes", []),
        "outputs": output_entries(folder, made),
        "verification": report.as_json(),
        "warnings": list(context.warnings),
    }
