"""report.html: what a run proved, what it made, and one picture for each question that people ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendc.report.cores import core_table
from attendc.report.facts import artefacts, run_name, unmeasured, verdict
from attendc.report.html import fill
from attendc.report.sections import (
    agreement_section,
    check_rows,
    curve_sections,
    disagreement_section,
    gate_words,
    layer_section,
    provenance_rows,
    range_sections,
    reference_words,
    size_picture,
    step_section,
    text_blocks,
    tiles,
)
from attendc.report.tables import (
    artefact_table,
    bench_table,
    gate_table,
    hash_table,
    ops_tables,
    pair_table,
    stage_table,
)
from attendc.report.words import yaml_text

__all__ = ["render_report"]


def render_report(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None = None) -> str:
    """Return report.html: one file that opens anywhere, offline; the same facts give the same bytes.

    Args:
        manifest: of one run, as JSON gives it back.
        evidence: layers, ranges, agreement and disagreements; what is missing is said to be so in its place.
    """
    known, files = evidence or {}, artefacts(manifest)
    gates, stages = manifest.get("gates"), manifest.get("stages")
    facts = {
        "attendc": manifest.get("attendc", ""),
        "title": f"{run_name(manifest)}: {verdict(manifest).state}",
        "command": manifest.get("command", ""),
        "name": run_name(manifest),
        "verdict": verdict(manifest),
        "warnings": manifest.get("warnings") or (),
        "tiles": tiles(manifest, files),
        "gates": gate_table(gates) if gates else None,
        "gate_words": gate_words(manifest),
        "checks": check_rows(manifest),
        "missing": dict.fromkeys(_PARTS, "") | unmeasured(manifest, evidence),
        "files": artefact_table(files),
        "bench": bench_table(manifest["bench"]) if manifest.get("bench") else None,
        "cores": core_table(manifest),
        "references": reference_words(manifest),
        "sizes": size_picture(manifest, files),
        "agreement": agreement_section(manifest, evidence),
        "pairs": pair_table((manifest.get("verification") or {}).get("pairs") or ()),
        "layers": layer_section(known.get("layers") or ()),
        "ranges": range_sections(known.get("ranges") or ()),
        "curves": curve_sections(manifest.get("curves") or ()),
        "disagreements": disagreement_section(known.get("disagreements")),
        "ops": ops_tables(files),
        "steps": step_section(manifest.get("steps") or ()),
        "pruning": yaml_text(manifest["pruning"]) if manifest.get("pruning") else "",
        "provenance": provenance_rows(manifest),
        "stages": stage_table(stages) if stages else None,
        "hashes": hash_table(files),
        "texts": text_blocks(manifest),
    }
    return fill("report.html", facts)


_PARTS = (
    *("verification", "accuracy", "layers", "agreement", "ranges"),
    *("disagreements", "curves", "steps", "stages"),
)
"""What `unmeasured` may speak of."""
