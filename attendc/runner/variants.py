"""A recipe with variants: the same stages with other `vars`, each a run of its own, and the runs side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.context import Context
from attendc.manifest import versions, write_manifest
from attendc.reader.write import recipe_to_data
from attendc.recipe import Recipe
from attendc.report.compare import compare_runs, comparison_json
from attendc.report.compare_page import render_comparison

__all__ = ["COMPARISON", "COMPARISON_PAGE", "write_comparison"]

COMPARISON, COMPARISON_PAGE = "compare.json", "compare.html"


def write_comparison(
    recipe: Recipe, manifests: Mapping[str, dict[str, Any]], folder: Path, context: Context, *, command: str
) -> dict[str, Any]:
    """Write how the variants in the folders of their names compare; the first is the baseline. Return the manifest.

    Raises:
        OutputError: if the disk is full.
    """
    runs = list(manifests.items())
    comparison = compare_runs(runs)
    told = comparison_json(comparison)
    (folder / COMPARISON).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    (folder / COMPARISON_PAGE).write_text(render_comparison(comparison, list(manifests.values())), encoding="utf-8")
    manifest: dict[str, Any] = {
        "attendc": __version__,
        "command": command,
        "name": recipe.name,
        "recipe": recipe_to_data(recipe),
        "versions": versions(),
        "variants": {name: {"folder": name, "verification": m.get("verification")} for name, m in runs},
        "comparison": told,
        "outputs": {f"{name}/{file}": entry for name, m in runs for file, entry in m["outputs"].items()},
        "warnings": list(context.warnings),
    }
    write_manifest(folder, manifest)
    return manifest
