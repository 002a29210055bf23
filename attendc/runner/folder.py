"""The folder of a run: artefacts, manifest, recipe, report, model card, log and stages; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attendc.manifest import write_manifest
from attendc.reader.write import recipe_to_yaml
from attendc.report.card import model_card
from attendc.report.data import report_json
from attendc.report.page import render_report
from attendc.runner.execute import Executed, StageRun
from attendc.stages.work import EVIDENCE

__all__ = ["evidence_of", "told_pages", "write_run"]

RECIPE, PAGE, REPORT, CARD, LOG, STAGES = (
    "recipe.resolved.yaml",
    "report.html",
    "report.json",
    "MODEL_CARD.md",
    "run.log",
    "stages",
)


def write_run(executed: Executed, manifest: Mapping[str, Any], folder: Path, log: Sequence[str]) -> None:
    """Fill an empty folder.

    Raises:
        OutputError: if the disk is full, or a cached file has been removed meanwhile.
    """
    outputs = manifest["outputs"]
    for stage in executed.stages:  # in order: where two made a file of one name, the last counts
        made = [n for n in stage.entry.files if _top(n) in outputs]
        stage.entry.copy_to(folder, made)
        _write_stage(stage, folder / STAGES, [n for n in stage.entry.files if n not in made])
    _write(folder / RECIPE, recipe_to_yaml(executed.recipe))
    for name, text in told_pages(manifest, evidence_of(executed)).items():
        _write(folder / name, text)
    _write(folder / LOG, "".join(f"{line}\n" for line in log))
    write_manifest(folder, manifest)


def told_pages(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the files that tell a run to people and programs: name -> text."""
    return {
        PAGE: render_report(manifest, evidence),
        REPORT: json.dumps(report_json(manifest, evidence), indent=2) + "\n",
        CARD: model_card(manifest, evidence),
    }


def _top(name: str) -> str:
    """Return the output that a file of a stage belongs to: itself, or the folder that is the output."""
    return name.partition("/")[0]


def _write_stage(stage: StageRun, folder: Path, names: Sequence[str]) -> None:
    """Write what a stage told and what its key was made of, and beside it the files that are no artefacts."""
    folder.mkdir(exist_ok=True)
    told = {
        "step": stage.step,
        "key": stage.entry.key,
        "cached": stage.cached,
        "made_of": stage.ingredients,
        "files": stage.entry.files,
        **stage.entry.meta,
    }
    _write(folder / f"{stage.id}.json", json.dumps(told, indent=2, default=_plain) + "\n")
    if names:
        stage.entry.copy_to(folder / stage.id, names)


def evidence_of(executed: Executed) -> dict[str, Any] | None:
    """Return what verification found beyond the manifest; None where there was none."""
    path = executed.work.files.get(EVIDENCE)
    if path is None:
        return None
    evidence: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return evidence


def _plain(value: Any) -> Any:
    """Write a config as its fields."""
    return vars(value) if hasattr(value, "__dict__") else str(value)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
