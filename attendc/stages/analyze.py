"""The step `analyze`: how sensitive each part of a network is, measured once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from attendc.compress.capture import capture, probe
from attendc.compress.int8_sensitivity import Calibrated, measure_int8
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.passes.prove import MOST_SAMPLES, proof_samples
from attendc.compress.plan import apply_plan
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.importance import NEED_DATA, Importance, measure_importance
from attendc.compress.pruning.select import counts_by_hand
from attendc.compress.pruning.sensitivity import KEEP_RATIOS, Probe, Sensitivity, judge, measure_pruning
from attendc.compress.ptq import Ranges, calibrate
from attendc.compress.tensors import unsupported
from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly, images_from_array
from attendc.data.preprocess import batches, fitted
from attendc.errors import DataError, OutputError
from attendc.files import cache_folder, replace_file
from attendc.manifest import versions
from attendc.opening import Opened, check_outputs, open_dataset, open_told
from attendc.pictures import SensitivityPicture, draw_sensitivity
from attendc.stages.analyze_config import AnalyzeConfig
from attendc.stages.work import Made, Work
from attendc.types import Preprocess

__all__ = ["PICTURE", "analyze", "pruning_sensitivity", "run"]

PICTURE = "sensitivity"
"""Name of the picture, before its suffix."""
SEEN = 512
"""Training images for batch norms and importances."""
JUDGED = 1000
"""Training images that accuracy and loss are measured on; test images never choose anything."""
CALIBRATION = 256
RANGES: Ranges = "mse"
_AT_ONCE = 50


@dataclass(frozen=True)
class Measured:
    """What is kept in the cache.

    Attributes:
        rows: of each part.
        accuracy: of the whole: the network as it is, or wholly in int8; 0..1.
        loss: of the same, in nats.
    """

    rows: tuple[Sensitivity, ...]
    accuracy: float
    loss: float


def pruning_sensitivity(
    opened: Opened,
    found: Dependencies,
    dataset: Dataset,
    importance: Importance,
    context: Context,
    *,
    cached: bool = True,
) -> tuple[list[Sensitivity], float]:
    """Return a row for each group at each of `KEEP_RATIOS` and for each block, and the loss of the whole network.

    Raises:
        UsageError: if the importance finds nothing to go by.
        DataError: if the training images cannot be read.
    """
    measured = _pruning(opened, found, dataset, importance, context, keep_ratios=KEEP_RATIOS, cached=cached)
    return list(measured.rows), measured.loss


def analyze(opened: Opened, config: AnalyzeConfig | None = None, context: Context | None = None) -> dict[str, Any]:
    """Measure how much accuracy is lost when one part alone is pruned, removed or int8; return all numbers.

    Raises:
        DataError: if the Spec names no data, or it has no training images.
        CheckpointError: if the network cannot be grouped.
    """
    config, context = config or AnalyzeConfig(), context or Context()
    dataset = open_dataset(opened.spec, seed=context.seed)
    ready = _ready(opened, dataset, context)
    found = find_dependencies(opened.model, probe(opened.spec.preprocess))
    ratios, cached = config.keep or KEEP_RATIOS, config.cached
    floating = _pruning(opened, found, dataset, config.importance, context, keep_ratios=ratios, cached=cached)
    int8 = _int8(opened, ready, found, dataset, context, cached=cached)
    return _result(config, opened, dataset, found, (floating, int8), context)


def run(config: AnalyzeConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: the numbers, and `sensitivity.svg` or .png."""
    request = work.checkpoint_request()
    opened = open_told(request, context)
    result = analyze(opened, config, context)
    name = f"{PICTURE}.{config.picture}"
    draw_sensitivity(folder / name, _picture(request.name, config, result))
    return Made({"analysis": result, "inputs": {"data": opened.spec.data}})


def _pruning(
    opened: Opened,
    found: Dependencies,
    dataset: Dataset,
    importance: Importance,
    context: Context,
    *,
    keep_ratios: Sequence[float],
    cached: bool,
) -> Measured:
    def measure() -> Measured:
        how = _probe(dataset, opened.spec.preprocess)
        data = batches(how.seen, how.preprocess, batch_size=64) if importance in NEED_DATA else ()
        scores = measure_importance(found, importance, data)
        sample = probe(how.preprocess)
        rows = measure_pruning(opened.model, found, scores, how, sample, context, keep_ratios=keep_ratios)
        return Measured(tuple(rows), *judge(opened.model, how))

    key = _key(opened, dataset, context) | {"importance": importance, "ratios": list(keep_ratios), "seen": SEEN}
    return _from_cache("sensitivity to pruning", key, measure, context) if cached else measure()


def _ready(opened: Opened, dataset: Dataset, context: Context) -> fx.GraphModule:
    """Return the float graph, ready for int8; say which operators stay float whatever is measured."""
    images = batches(evenly(dataset.train, MOST_SAMPLES), opened.spec.preprocess, batch_size=1)
    seen = proof_samples([x for x, _ in images])
    floating = capture(opened.model, opened.spec.preprocess, seen, context=context)
    check_outputs(floating, opened.spec, dataset)
    ready = run_passes(floating, INT8_PASSES, seen, context=context)
    for one in unsupported(ready.graph):
        context.warn(f"stays float: {one}")
    return ready


def _int8(
    opened: Opened, ready: fx.GraphModule, found: Dependencies, dataset: Dataset, context: Context, *, cached: bool
) -> Measured:
    def measure() -> Measured:
        how = _probe(dataset, opened.spec.preprocess)
        images = evenly(dataset.train, CALIBRATION)
        samples = [x for x, _ in batches(images, how.preprocess, batch_size=1)]
        calibrated = Calibrated(ready, *calibrate(ready, samples, ranges=RANGES, context=context))
        rows = measure_int8(calibrated, [b.name for b in found.blocks], how, context)
        return Measured(tuple(rows), *judge(apply_plan(calibrated.corrected, calibrated.plan), how))

    key = _key(opened, dataset, context) | {"calibration": CALIBRATION, "ranges": RANGES}
    return _from_cache("sensitivity to int8", key, measure, context) if cached else measure()


def _probe(dataset: Dataset, preprocess: Preprocess) -> Probe:
    if len(dataset.train) == 0:
        raise DataError(f"{dataset.name} has no training images to measure on", hint="Give other images with --data")
    seen, judged = evenly(dataset.train, SEEN), evenly(dataset.train, JUDGED)
    return Probe(_in_memory(seen, preprocess), _in_memory(judged, preprocess), preprocess)


def _in_memory(images: Images, preprocess: Preprocess) -> Images:
    """Return the same images, decoded and fitted once instead of for every part."""
    starts = range(0, len(images), _AT_ONCE)
    parts = [fitted(images.read(range(s, min(s + _AT_ONCE, len(images)))), preprocess).numpy() for s in starts]
    return images_from_array(np.concatenate(parts), images.targets)


# The cache


def _key(opened: Opened, dataset: Dataset, context: Context) -> dict[str, Any]:
    """Return all that a measurement depends on, as far as it can be known without doing it."""
    return {
        "checkpoint": opened.weights.sha256,
        "network": _digest(opened.model),
        "architecture": asdict(opened.spec.architecture),
        "preprocess": asdict(opened.spec.preprocess),
        "data": dataset.name,
        "targets": hashlib.sha256(dataset.train.targets.tobytes()).hexdigest(),
        "judged": JUDGED,
        "seed": context.seed,
        "versions": versions(("torch", "torch-pruning", "nncf")),
    }


def _digest(model: nn.Module) -> str:
    """Return a digest of the weights that are measured: of one file there may be several choices."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _from_cache(what: str, key: Mapping[str, Any], measure: Callable[[], Measured], context: Context) -> Measured:
    """Return what was measured before under the same key, or measure it and keep it."""
    text = json.dumps(key, sort_keys=True)
    path = cache_folder() / "sensitivity" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    known = _read(path, context)
    if known is not None:
        context.say(f"{what}: as measured before, from {path}")
        return known
    measured = measure()
    try:
        with replace_file(path) as beside:
            beside.write_text(json.dumps({"key": key, **asdict(measured)}, indent=1))
    except OutputError as e:
        context.warn(f"the {what} is not kept: {e.message}")
    return measured


def _read(path: Path, context: Context) -> Measured | None:
    """Return a measurement from the cache; None if there is none, or none that can be read."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Measured).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as e:
        reason = str(e).strip().split("\n", 1)[0]
        context.warn(f"a cached measurement cannot be read and is made again: {path}: {reason}")
        return None


# What is told

_COLUMN_OF = {"block": "removed", "int8": "int8"}


def _result(
    config: AnalyzeConfig,
    opened: Opened,
    dataset: Dataset,
    found: Dependencies,
    measured: tuple[Measured, Measured],
    context: Context,
) -> dict[str, Any]:
    floating, int8 = measured
    ratios = config.keep or KEEP_RATIOS
    return {
        "options": {"importance": config.importance, "keep": list(ratios), "cached": config.cached},
        "seed": context.seed,
        "judged_on": {"images": min(JUDGED, len(dataset.train)), "split": "train"},
        "whole": {
            "float32": {"accuracy": floating.accuracy, "loss": floating.loss},
            "int8": {"accuracy": int8.accuracy, "loss": int8.loss},
        },
        "parts": _parts(found, ratios, floating, int8),
        "rows": [asdict(row) for row in (*floating.rows, *int8.rows)],
        "refused": dict(found.refused),
    }


def _parts(
    found: Dependencies, keep_ratios: Sequence[float], floating: Measured, int8: Measured
) -> list[dict[str, Any]]:
    """Return for each part, in the order of the network, the points lost: by `keep 0.5`, ..., `removed`, `int8`.

    `pruned_with` is the group that the outputs of a layer belong to, where it is not the layer's own.
    """
    lost: dict[str, dict[str, float]] = {n: {} for n in _in_order(found.model, floating.rows, int8.rows)}
    columns = _columns(found, keep_ratios)
    for row in (*floating.rows, *int8.rows):
        for column in columns.get((row.part, row.keep), []) if row.what == "channels" else [_COLUMN_OF[row.what]]:
            lost[row.part][column] = round(100 * (floating.accuracy - row.accuracy), 2)
    kinds = {b.name: "block" for b in found.blocks}
    group_of = {m.layer: g.name for g in found.groups for m in g.members if m.side != "in" and m.layer != g.name}
    return [
        {"part": name, "kind": kinds.get(name, "layer"), "pruned_with": group_of.get(name, ""), "lost": lost[name]}
        for name in lost
    ]


def _columns(found: Dependencies, keep_ratios: Sequence[float]) -> dict[tuple[str, float], list[str]]:
    """Return (group, part of the channels that stayed) -> columns: where a group is narrow, ratios may come to one."""
    columns: dict[tuple[str, float], list[str]] = {}
    for ratio in keep_ratios:
        counts = counts_by_hand(found.groups, {g.name: ratio for g in found.groups})
        for group in found.groups:
            columns.setdefault((group.name, counts[group.name] / group.size), []).append(f"keep {ratio:g}")
    return columns


def _in_order(model: nn.Module, pruned: Sequence[Sensitivity], int8: Sequence[Sensitivity]) -> list[str]:
    """Return the parts in the order of the modules; one that is no module comes after the one before it."""
    modules = {name: float(index) for index, (name, _) in enumerate(model.named_modules())}
    places = {row.part: modules[row.part] for row in pruned}
    last = 0.0
    for row in int8:
        last = places[row.part] = modules.get(row.part, last + 1e-3)
    return sorted(places, key=lambda name: places[name])


def _picture(name: str, config: AnalyzeConfig, result: dict[str, Any]) -> SensitivityPicture:
    whole, judged = result["whole"], result["judged_on"]
    notes = (
        f"top-1 of the whole: {whole['float32']['accuracy']:.1%} in float32, {whole['int8']['accuracy']:.1%} in int8",
        f"{judged['images']:,} training images",
        f"importance: {config.importance}",
        f"seed {result['seed']}",
    )
    return SensitivityPicture(
        f"{name}: accuracy lost when one part alone is pruned or quantized",
        " · ".join(notes),
        [row["part"] for row in result["parts"]],
        [row["part"] for row in result["parts"] if row["kind"] == "block"],
        {
            "channels": [f"keep {ratio:g}" for ratio in config.keep or KEEP_RATIOS],
            "block": ["removed"],
            "quantized": ["int8"],
        },
        {row["part"]: row["lost"] for row in result["parts"]},
    )
