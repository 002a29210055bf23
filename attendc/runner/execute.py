"""Doing the stages of a recipe in order, each once: what was done before comes from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from attendc.context import Context
from attendc.errors import UsageError
from attendc.recipe import Recipe, StageEntry
from attendc.runner.cache import Entry, StageCache, stage_key
from attendc.runner.keys import stage_ingredients
from attendc.runner.source import Source, open_source
from attendc.stages.registry import STAGES
from attendc.stages.work import Made, Work

__all__ = ["Executed", "StageRun", "executing", "stage_ids", "stage_range"]


@dataclass(frozen=True)
class StageRun:
    """What became of one stage.

    Attributes:
        id: its place and its name: `02-quantize`.
        entry: where its files lie in the cache, and what it told.
        cached: whether it had been done before.
        ingredients: what its key was made of.
    """

    id: str
    step: str
    entry: Entry
    cached: bool
    ingredients: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Executed:
    """A recipe whose stages are done; its files are safe as long as `executing` is not left."""

    recipe: Recipe
    source: Source
    work: Work
    stages: tuple[StageRun, ...]

    @property
    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file that was made, by name; the last stage that made one counts."""
        return {name: digest for stage in self.stages for name, digest in stage.entry.files.items()}


@contextmanager
def executing(
    recipe: Recipe,
    context: Context,
    cache: StageCache,
    *,
    start: str = "",
    until: str = "",
    after_stage: Callable[[StageRun], None] = lambda _: None,
) -> Iterator[Executed]:
    """Do the stages and yield what came out; `after_stage` may refuse a stage by raising.

    Args:
        recipe: without variants.
        context: where to say what is going on; seed and device are the recipe's.
        cache: of stages.
        start: id or step from which on everything is done anew.
        until: id or step that is the last to be done.
        after_stage: called after each stage, cached or not.

    Raises:
        AttendcError: of the kind that fits; stages that were finished stay in the cache.
    """
    context = replace(context, seed=recipe.seed, device=recipe.device)
    context.check_device()
    first, last = stage_range(recipe, start, until)
    source = open_source(recipe, context)
    work = Work(source.model, source.data)
    hashes: dict[str, str] = {}
    done: list[StageRun] = []
    with ExitStack() as held:
        for index, (name, entry) in enumerate(zip(stage_ids(recipe), recipe.stages, strict=True)):
            if index > last:
                break
            ingredients = stage_ingredients(entry, recipe, source, work, hashes)
            # A stage that this run has done already is not done anew: its files are being read.
            fresh = index >= first and stage_key(ingredients) not in [one.entry.key for one in done]
            stage = _stage(name, entry, work, ingredients, recipe, context, cache, held, fresh=fresh)
            done.append(stage)
            hashes |= stage.entry.files
            work = _after(work, stage)
            after_stage(stage)
        yield Executed(recipe, source, work, tuple(done))


def stage_ids(recipe: Recipe) -> list[str]:
    """Return `01-prune`, `02-quantize`, ..."""
    return [f"{index:02d}-{entry.step}" for index, entry in enumerate(recipe.stages, 1)]


def stage_range(recipe: Recipe, start: str, until: str) -> tuple[int, int]:
    """Return the index of the first stage that is done anew (one past the last: none), and of the last to be done.

    Raises:
        UsageError: if a name is of no stage, or of several.
    """
    first = len(recipe.stages) if not start else _index(recipe, start, "--from")
    last = len(recipe.stages) - 1 if not until else _index(recipe, until, "--until")
    if start and first > last:
        raise UsageError(f"--from {start} comes after --until {until}", hint="Exchange them, or leave out one")
    return first, last


def _index(recipe: Recipe, name: str, option: str) -> int:
    ids = stage_ids(recipe)
    found = [i for i, (one, entry) in enumerate(zip(ids, recipe.stages, strict=True)) if name in (one, entry.step)]
    if len(found) != 1:
        what = "is no stage of this recipe" if not found else "is several stages of this recipe"
        raise UsageError(f"{option} {name} {what}", hint=f"Choose from {', '.join(ids)}")
    return found[0]


def _stage(
    name: str,
    entry: StageEntry,
    work: Work,
    ingredients: dict[str, Any],
    recipe: Recipe,
    context: Context,
    cache: StageCache,
    held: ExitStack,
    *,
    fresh: bool,
) -> StageRun:
    """Return the stage from the cache, or do it; its files are held for reading from then on."""
    key = stage_key(ingredients)
    known = None if fresh else held.enter_context(cache.reading(key))
    if known is None:
        known, cached = _build(name, key, entry, work, recipe, context, cache, fresh=fresh)
        known = held.enter_context(cache.reading(key)) or known
    else:
        cached = True
    if cached:
        context.say(f"{name}: done before, {known.meta['seconds']:.1f} s saved")
        for text in known.meta["warnings"]:
            context.warn(text)
    return StageRun(name, entry.step, known, cached, ingredients)


def _build(
    name: str,
    key: str,
    entry: StageEntry,
    work: Work,
    recipe: Recipe,
    context: Context,
    cache: StageCache,
    *,
    fresh: bool,
) -> tuple[Entry, bool]:
    """Do the stage, unless another process has made it while we waited; tell which."""
    with cache.building(key) as building:
        known = None if fresh else cache.find(key)
        if known is not None:
            return known, True
        context.say(f"{name}: starts")
        started, before = time.monotonic(), len(context.warnings)
        _prepare_torch(recipe)
        here = replace(context, resume_folder=building.work)
        made = STAGES[entry.step].run(entry.config, work, building.folder, here)
        seconds = time.monotonic() - started
        context.say(f"{name}: done in {seconds:.1f} s")
        meta = {
            "step": entry.step,
            "told": dict(made.told),
            "facts": dict(made.facts),
            "seconds": round(seconds, 3),
            "warnings": context.warnings[before:],
        }
        return building.commit(meta), False


def _prepare_torch(recipe: Recipe) -> None:
    """Give every stage the same start, so that none depends on whether those before it came from the cache."""
    import torch

    torch.manual_seed(recipe.seed)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)


def _after(work: Work, stage: StageRun) -> Work:
    made = Made(stage.entry.meta["told"], stage.entry.meta["facts"])
    return work.after(made, {name: stage.entry.folder / name for name in stage.entry.files})
