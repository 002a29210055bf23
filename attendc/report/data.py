"""report.json: the facts of the page for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attendc.report.cores import core_rows
from attendc.report.facts import artefacts, references, run_name, unmeasured, verdict
from attendc.report.matrix import agreement_of

__all__ = ["SCHEMA", "report_json"]

SCHEMA = 1


def report_json(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None = None) -> dict[str, Any]:
    r"""Return the facts of a run as JSON: every key is always there, null or empty where nothing was measured.

    | key | value |
    |---|---|
    | schema | 1; it grows when a key changes its meaning or goes |
    | attendc, name, command, seed, versions, target, model, inputs | as in the manifest |
    | verdict | {state: passed, failed or unproven; sentence; failures: [sentence]} |
    | gates | [{stage, name, kind, value, limit, passed, message}] |
    | images | how many the verification looked at |
    | artefacts | [{file, name, format, dtype, bytes, sha256, accuracy (0..1), images, drop (points below float), \
agreement_float, agreement_source (0..1), source (graph or float), float_ops, transposes, ops: {operator: count}}] |
    | references | [{name, accuracy, images}] of what is no file: float network, quantized graph, witness |
    | scales_equal, weights_equal | whether the integers in the files are the graph's |
    | pairs | [{a, b, images, top1_agreement, max_lsb, mean_lsb, sqnr_db, gated}] |
    | agreement | {names, matrix, images}, or null |
    | layers | [{layer, op, sqnr_db, shape}] along the network |
    | ranges | [{layer, weight, activation}]: min, max, scale, zero_point, clipped; histograms are on the page only |
    | disagreements | {of, total, shown: [{index, label, float, int8, float_margin}]}, or null; no pictures |
    | bench | [{file, core, instructions, partitions, macs}] of one inference on emulated cores; empty: not counted |
    | on | [{file, core, images, accuracy, agreement_here, agreement_source (0..1), identical, differing_images, \
max_steps}] of the files on emulated cores; empty: not run there |
    | caveat | what to know before trusting the files: `weights: random (seed 0), not trained; not verified`, or null |
    | curves, steps, pruning, stages, history, passes, recipe, warnings, notes | as in the manifest |
    | unmeasured | {part of the report: sentence} |
    """
    checked = manifest.get("verification") or {}
    known = evidence or {}
    agreement = agreement_of(manifest, evidence)
    facts = {
        "schema": SCHEMA,
        "attendc": manifest.get("attendc"),
        "name": run_name(manifest),
        **{key: manifest.get(key) for key in ("command", "seed")},
        **{key: manifest.get(key) or {} for key in ("versions", "target", "model", "inputs")},
        "verdict": asdict(verdict(manifest)),
        "gates": manifest.get("gates") or [],
        "images": checked.get("images"),
        "artefacts": [asdict(row) for row in artefacts(manifest)],
        "references": [asdict(row) for row in references(manifest)],
        **{key: checked.get(key) for key in ("scales_equal", "weights_equal")},
        "pairs": checked.get("pairs") or [],
        "agreement": None if agreement is None else asdict(agreement),
        "layers": known.get("layers") or [],
        "ranges": [_without_histograms(one) for one in known.get("ranges") or ()],
        "disagreements": _without_pictures(known.get("disagreements")),
        **{key: manifest.get(key) or [] for key in ("curves", "steps", "stages", "history", "passes", "warnings")},
        "bench": manifest.get("bench") or [],
        "on": [asdict(row) for row in core_rows(manifest)],
        **{key: manifest.get(key) for key in ("pruning", "recipe", "caveat")},
        "notes": checked.get("notes") or [],
        "unmeasured": unmeasured(manifest, evidence),
    }
    return {key: _json(value) for key, value in facts.items()}


def _without_histograms(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        side: {k: v for k, v in value.items() if k not in ("edges", "counts")} if isinstance(value, Mapping) else value
        for side, value in one.items()
    }


def _without_pictures(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    shown = [{k: v for k, v in one.items() if k != "image"} for one in found.get("shown") or ()]
    return {**found, "shown": shown}


def _json(value: Any) -> Any:
    """Return the value with tuples as lists, and null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
