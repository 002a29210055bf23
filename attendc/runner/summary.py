"""The manifest of a run: what went in, what each stage told, what came out, and whether it was proven."""

from __future__ import annotations

from typing import Any

from attendc import __version__
from attendc.context import Context
from attendc.manifest import versions
from attendc.reader.write import recipe_to_data
from attendc.runner.execute import Executed
from attendc.stages.work import merge_told

__all__ = ["run_manifest"]


def run_manifest(executed: Executed, context: Context, *, command: str) -> dict[str, Any]:
    """Return the manifest as plain data; `command` is the verb that was typed."""
    recipe = executed.recipe
    base: dict[str, Any] = {
        "attendc": __version__,
        "command": command,
        "name": recipe.name,
        "inputs": {"checkpoint": executed.source.told, "data": executed.source.data_name},
        "recipe": recipe_to_data(recipe),
        "seed": recipe.seed,
        "target": {"core": recipe.target.core},
        "versions": versions(),
        "history": [],
        "outputs": {},
        "gates": [],
        "curves": [],
    }
    stages = [
        {
            "id": stage.id,
            "step": stage.step,
            "key": stage.entry.key,
            "cached": stage.cached,
            "seconds": stage.entry.meta["seconds"],
        }
        for stage in executed.stages
    ]
    return {**merge_told(base, executed.work.told), "stages": stages, "warnings": list(context.warnings)}
