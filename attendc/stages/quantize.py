"""The step `quantize`: from a float network to the quantized graph, the one source of every int8 artefact."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, fx, nn

from attendc import __version__
from attendc.artefacts import FLOAT_PROGRAM, PROGRAM, graph_entries
from attendc.compress.capture import capture, probe
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.passes.prove import proof_samples
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.ptq import calibrate
from attendc.compress.qat import train_quantized
from attendc.compress.tensors import check_supported, unsupported
from attendc.context import Context
from attendc.converters.program import load_program, save_program
from attendc.data.images import Dataset, evenly
from attendc.data.preprocess import batches
from attendc.errors import DataError, UsageError
from attendc.opening import Opened, check_outputs, open_checkpoint, open_dataset, open_told
from attendc.stages.caveat import caveat_section, told_unverified
from attendc.stages.loop import loop_options
from attendc.stages.model_facts import model_facts
from attendc.stages.quantize_config import RANDOM, QuantizeConfig
from attendc.stages.work import Made, Work
from attendc.train import Task, hold_out
from attendc.types import Spec, Stamp

__all__ = ["Quantized", "quantize", "run"]


@dataclass(frozen=True)
class Quantized:
    """What `quantize` returns, and `convert` takes.

    Attributes:
        floating: the float graph, takes float32 (N, C, H, W).
        graph: the quantized graph with its scales and integer weights, same input.
        spec: of the network; with labels where the data or the checkpoint has them.
        stamp: what every artefact will carry.
        steps: what was done: calibration, training.
        curve: of training, a row an epoch.
    """

    floating: fx.GraphModule
    graph: fx.GraphModule
    spec: Spec
    stamp: Stamp
    steps: tuple[dict[str, Any], ...]
    curve: tuple[dict[str, float], ...] = ()


def quantize(
    opened: Opened,
    config: QuantizeConfig | None = None,
    context: Context | None = None,
    *,
    teacher: nn.Module | None = None,
    floating: fx.GraphModule | None = None,
) -> Quantized:
    """Quantize a network to int8, calibrated and trained on the data that its Spec names.

        quantized = attendc.quantize(attendc.load_checkpoint("ckpt.safetensors"), attendc.QuantizeConfig(mode="qat"))

    Args:
        opened: the network with its Spec.
        config: how.
        context: seed, device, progress.
        teacher: who teaches in `qat`; the network itself in float unless told otherwise.
        floating: the network's float graph as `simplify` left it; made here unless given.

    Raises:
        UsageError: if training is asked for without data.
        DataError: if there is no data, or it does not fit.
        ConversionError: if LiteRT has no int8 kernel for an operator, by name.
    """
    config, context = config or QuantizeConfig(), context or Context()
    if config.calib == RANDOM and config.mode == "qat":
        raise UsageError("--qat needs images", hint="Leave out --calib random, or leave out --qat")
    if opened.weights.origin and config.mode == "qat":
        raise UsageError(
            "--qat has nothing to keep: the weights are random", hint="Give a checkpoint, or leave out --qat"
        )
    dataset = None if config.calib == RANDOM else open_dataset(opened.spec, seed=context.seed)
    samples = _samples(config, opened.spec, dataset)
    seen = proof_samples(samples)
    if floating is None:
        floating = capture(opened.model, opened.spec.preprocess, seen, context=context)
    if dataset is not None:
        check_outputs(floating, opened.spec, dataset)
    ready = _ready(floating, config, seen, context)
    corrected, plan = calibrate(ready, samples, ranges=config.ranges, context=context)
    source = RANDOM if dataset is None else opened.spec.data
    steps: list[dict[str, Any]] = [
        {"step": "ptq", "images": len(samples), "ranges": config.ranges, "calibration": source}
    ]
    curve: tuple[dict[str, float], ...] = ()
    if config.mode == "qat" and dataset is not None:
        trained, plan, step = _train(config, ready, plan, opened.spec, teacher or opened.model, dataset, context)
        corrected, curve = trained, tuple(step["curve"])
        steps.append(step)
    labels = opened.spec.labels or (dataset.labels if dataset is not None else ())
    spec = dataclasses.replace(opened.spec, labels=labels)
    origin = opened.weights.origin
    stamp = Stamp(__version__, opened.weights.sha256, labels, spec.preprocess, source, weights=origin)
    return Quantized(floating, apply_plan(corrected, plan), spec, stamp, tuple(steps), curve)


def run(config: QuantizeConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: `model.int8.pt2` and `model.float32.pt2`."""
    request, source = work.checkpoint_request(), work.source_request()
    same = request == source
    unpruned = (
        open_told(source, context) if same else open_checkpoint(source, seed=context.seed)
    )  # told by the stage before
    opened = unpruned if same else open_checkpoint(request)
    # An artefact names the checkpoint that came in, not what lay between.
    came = unpruned.weights
    named = dataclasses.replace(
        opened, weights=dataclasses.replace(opened.weights, sha256=came.sha256, origin=came.origin)
    )
    simplified = load_program(work.files[FLOAT_PROGRAM]).graph if work.is_simplified() else None
    quantized = quantize(named, config, context, teacher=unpruned.model, floating=simplified)
    quantized = dataclasses.replace(quantized, stamp=told_unverified(quantized.stamp, work, context))
    save_program(folder / PROGRAM, quantized.graph, quantized.spec, quantized.stamp)
    float_stamp = dataclasses.replace(quantized.stamp, dtype="float32", calibration="")
    save_program(folder / FLOAT_PROGRAM, quantized.floating, quantized.spec, float_stamp)
    told = {
        "inputs": {"calibration": quantized.stamp.calibration},
        "model": model_facts(opened.model, quantized.spec),
        "history": [*opened.spec.history, *quantized.steps],
        "passes": quantized.floating.meta.get("notes", []),
        "outputs": graph_entries(folder),
        "curves": [{"title": "quantization-aware training", "rows": list(quantized.curve)}] if quantized.curve else [],
        **caveat_section(quantized.stamp),
    }
    return Made(told, {"random": quantized.stamp.calibration == RANDOM})


def _ready(floating: fx.GraphModule, config: QuantizeConfig, seen: Tensor | None, context: Context) -> fx.GraphModule:
    """Return a copy of the graph with nothing left that int8 cannot do, or a word on each that stays float."""
    ready = run_passes(floating, INT8_PASSES, seen, context=context)
    if not config.allow_float:
        check_supported(ready.graph)
        return ready
    for one in unsupported(ready.graph):
        context.warn(f"stays float: {one}")
    return ready


def _train(
    config: QuantizeConfig,
    graph: fx.GraphModule,
    plan: QuantPlan,
    spec: Spec,
    teacher: nn.Module,
    dataset: Dataset,
    context: Context,
) -> tuple[fx.GraphModule, QuantPlan, dict[str, Any]]:
    """Train the quantized network, taught by the float one as it was before any pruning."""
    options = loop_options(config)
    chosen, chooser = hold_out(dataset.train, 0.05, seed=context.seed)
    task = Task(chosen, chooser, spec.preprocess, teacher.to(context.device))
    trained, plan, result = train_quantized(graph, plan, task, options, context)
    teacher.cpu()
    return trained, plan, {"step": "qat", "options": dataclasses.asdict(options), "curve": list(result.curve)}


def _samples(config: QuantizeConfig, spec: Spec, dataset: Dataset | None) -> list[Tensor]:
    """Return calibration inputs (1, C, H, W)."""
    if dataset is None:
        return [image[None] for image in probe(spec.preprocess, 64)]
    images = evenly(dataset.train, int(config.calib))
    if len(images) == 0:
        raise DataError(f"--calib {config.calib} leaves no images", hint="256 is usual")
    return [x for x, _ in batches(images, spec.preprocess, batch_size=1)]
