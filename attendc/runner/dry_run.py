"""What a run would do, and what it would miss; nothing is written, fetched or imported that a run needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.errors import AttendcError, UsageError
from attendc.files import cache_folder
from attendc.locations import is_uri, redacted
from attendc.manifest import versions
from attendc.recipe import Recipe
from attendc.runner.cache import stage_key
from attendc.runner.cache_entry import DamagedError, read_record
from attendc.runner.cores import check_cores
from attendc.runner.execute import first_work, stage_ids, stage_range, work_after
from attendc.runner.keys import stage_ingredients, with_threads
from attendc.runner.source import data_name, open_source
from attendc.runner.tracking import VARIABLE
from attendc.stages.quantize_config import RANDOM
from attendc.stages.registry import STAGES

__all__ = ["plan_run"]


def plan_run(
    recipe: Recipe, context: Context, *, start: str = "", until: str = "", cached: bool = True
) -> dict[str, Any]:
    """Return {"stages": [{"variant", "id", "state", "why"}], "missing": [sentence, ...]}.

    `state` is `cached`, `goes on` (a run was killed in it), `runs`, or `left out`.

    Raises:
        UsageError: if `start` or `until` is of no stage.
    """
    variants = recipe.variants or {"": recipe}
    stages = [
        {"variant": name, **row}
        for name, one in variants.items()
        for row in _stages(one, context, start, until, cached=cached)
    ]
    missing = dict.fromkeys(text for one in variants.values() for text in _missing(one, context))
    return {"stages": stages, "missing": list(missing)}


def _stages(recipe: Recipe, context: Context, start: str, until: str, *, cached: bool) -> Iterator[dict[str, str]]:
    first, last = stage_range(recipe, start, until)
    known = _known_stages(recipe, context) if cached and not _elsewhere(recipe) else []
    unfinished = known[-1] if known and known[-1] in ("goes on", "runs") else ""
    for index, name in enumerate(stage_ids(recipe)):
        if index > last:
            yield {"id": name, "state": "left out", "why": f"comes after --until {until}"}
        elif index >= first:
            yield {"id": name, "state": "runs", "why": f"--from {start}"}
        elif index < len(known) and known[index] == "cached":
            yield {"id": name, "state": "cached", "why": "the same inputs, config and versions"}
        elif index == len(known) - 1 and unfinished == "goes on":
            yield {"id": name, "state": "goes on", "why": "a run of it was stopped"}
        else:
            yield {"id": name, "state": "runs", "why": _why(recipe, index, len(known), cached=cached)}


def _why(recipe: Recipe, index: int, known: int, *, cached: bool) -> str:
    if not cached:
        return "--no-cache"
    if _elsewhere(recipe):
        return "what goes in lies elsewhere and is fetched first"
    return "not done before" if index == known - 1 else "what comes in is not known yet"


def _known_stages(recipe: Recipe, context: Context) -> list[str]:
    """Return the state of the first stages, up to the first that is not in the cache."""
    cache = cache_folder() / "stages"
    try:
        source = open_source(recipe, context, remember=False)
    except AttendcError:  # told as missing
        return []
    work, states = first_work(recipe, source), []
    hashes: dict[str, str] = {}
    for entry in recipe.stages:
        key = stage_key(stage_ingredients(entry, with_threads(recipe), source, work, hashes))
        try:
            found = read_record(cache / "entries" / key, key).entry
        except DamagedError:
            left = cache / "work" / key
            states.append("goes on" if left.is_dir() and any(left.iterdir()) else "runs")
            break
        hashes |= found.files
        work = work_after(work, found)
        states.append("cached")
    return states


def _elsewhere(recipe: Recipe) -> list[str]:
    """Return the URIs of what goes in; looking into it would fetch it."""
    return [text for text in (recipe.model.checkpoint, data_name(recipe, recipe.model)) if is_uri(text)]


def _missing(recipe: Recipe, context: Context) -> Iterator[str]:
    for uri in [*_elsewhere(recipe), *([recipe.output] if is_uri(recipe.output) else [])]:
        yield from _missing_package(uri)
    if not _elsewhere(recipe):
        yield from _missing_inputs(recipe, context)
    yield from _missing_files(recipe)
    try:
        check_cores(recipe, recipe.stages)
    except UsageError as e:
        yield str(e)
    try:
        versions()
    except metadata.PackageNotFoundError as e:
        yield f"the package {e.name}: install attendc again"
    if os.environ.get(VARIABLE) and find_spec("mlflow") is None:
        yield f"the package mlflow, since {VARIABLE} is set: pip install mlflow-skinny"


def _missing_package(uri: str) -> Iterator[str]:
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(uri.partition("://")[0])
    except (ImportError, ValueError) as e:
        yield f"what {redacted(uri)} needs: {e}"


def _missing_inputs(recipe: Recipe, context: Context) -> Iterator[str]:
    try:
        source = open_source(recipe, context, remember=False)
    except AttendcError as e:
        yield str(e)
        return
    if recipe.model.checkpoint and not Path(recipe.model.checkpoint).exists():
        yield f"the checkpoint {recipe.model.checkpoint}: give another with --set model.checkpoint=PATH"
    elif not source.data_name and not _needs_data(recipe):
        return
    elif not source.data_name:
        yield "data: the checkpoint names none; give some with --set data.source=NAME_OR_PATH"
    elif not source.hashes["data"]:
        yield f"the data {source.data_name}: give other data with --set data.source=NAME_OR_PATH"


def _needs_data(recipe: Recipe) -> bool:
    """Return whether there is a checkpoint to judge by images, or a random network that is calibrated on some."""
    calibrated = (getattr(entry.config, "calib", RANDOM) for entry in recipe.stages)
    return bool(recipe.model.checkpoint) or any(calib != RANDOM for calib in calibrated)


def _missing_files(recipe: Recipe) -> Iterator[str]:
    for name, entry in zip(stage_ids(recipe), recipe.stages, strict=True):
        for field in STAGES[entry.step].reads:
            path = getattr(entry.config, field)
            if path and not Path(path).is_file():
                yield f"the {field} of {name}: there is no file {path}"
