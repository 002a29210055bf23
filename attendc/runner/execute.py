"""Doing the stages of a recipe in order, each once: what was done before comes from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from attendc.context import Context
from attendc.errors import UsageError
from attendc.recipe import Recipe, StageEntry
from attendc.runner.cache import Entry, StageCache, stage_key
from attendc.runner.cores import check_cores
from attendc.runner.keys import stage_ingredients, with_threads
from attendc.runner.source import Source, open_source
from attendc.stages.registry import STAGES
from attendc.stages.work import Made, Work

__all__ = ["Executed", "StageRun", "executing", "first_work", "stage_ids", "stage_range", "work_after"]


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


@contextmanager
def executing(
    recipe: Recipe,
    context: Context,
    cache: StageCache,
    *,
    start: str = "",
    until: str = "",
    before_stages: Callable[[Source], None] = lambda _: None,
    after_stage: Callable[[StageRun], None] = lambda _: None,
) -> Iterator[Executed]:
    """Do the stages and yield what came out; `after_stage` may refuse a stage by raising.

    Args:
        recipe: without variants.
        context: where to say what is going on; seed and device are the recipe's.
        cache: of stages.
        start: id or step from which on everything is done anew.
        until: id or step that is the last to be done.
        before_stages: called when what goes in is known; may refuse the run by raising.
        after_stage: called after each stage, cached or not.

    Raises:
        AttendcError: of the kind that fits; stages that were finished stay in the cache.
    """
    context = replace(context, seed=recipe.seed, device=recipe.device)
    context.check_device()
    first, last = stage_range(recipe, start, until)
    check_cores(recipe, recipe.stages[: last + 1])
    source = open_source(recipe, context)
    before_stages(source)
    work = first_work(recipe, source)
    hashes: dict[str, str] = {}
    done: list[StageRun] = []
    with ExitStack() as held:
        doer = _Doer(with_threads(recipe), context, cache, held)
        for index, (name, entry) in enumerate(zip(stage_ids(recipe), recipe.stages, strict=True)):
            if index > last:
                break
            due = _Due(name, entry, work, stage_ingredients(entry, doer.recipe, source, work, hashes))
            # A stage that this run has done already is not done anew: its files are being read.
            fresh = index >= first and due.key not in [one.entry.key for one in done]
            stage = doer.stage(due, fresh=fresh)
            done.append(stage)
            hashes |= stage.entry.files
            work = work_after(work, stage.entry)
            after_stage(stage)
        yield Executed(recipe, source, work, tuple(done))


def first_work(recipe: Recipe, source: Source) -> Work:
    """Return what the first stage finds."""
    verified = any(entry.step == "verify" for entry in recipe.stages)
    return Work(source.model, source.data, core=recipe.target.core or "", verified=verified)


def work_after(work: Work, entry: Entry) -> Work:
    """Return what the stage after one finds."""
    made = Made(entry.meta["told"], entry.meta["facts"])
    return work.after(made, {name: entry.folder / name for name in entry.files})


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


@dataclass(frozen=True)
class _Due:
    """A stage that is due: its id, what it finds, and what its key is made of."""

    id: str
    entry: StageEntry
    work: Work
    ingredients: dict[str, Any]

    @cached_property
    def key(self) -> str:
        return stage_key(self.ingredients)


@dataclass(frozen=True)
class _Doer:
    """What does the stages of one run; `held` keeps their files from being removed until the run is over."""

    recipe: Recipe
    context: Context
    cache: StageCache
    held: ExitStack

    def stage(self, due: _Due, *, fresh: bool) -> StageRun:
        """Return the stage from the cache unless `fresh`, or do it; its files are held for reading from then on."""
        known, cached = None if fresh else self.held.enter_context(self.cache.reading(due.key)), True
        if known is None:
            known, cached = self._made(due, fresh=fresh)
            known = self.held.enter_context(self.cache.reading(due.key)) or known
        if cached:
            self.context.say(f"{due.id}: done before, {known.meta['seconds']:.1f} s saved")
            for text in known.meta["warnings"]:
                self.context.warn(text)
        return StageRun(due.id, due.entry.step, known, cached, due.ingredients)

    def _made(self, due: _Due, *, fresh: bool) -> tuple[Entry, bool]:
        """Do the stage, unless another process has made it while we waited; tell whether it has."""
        with self.cache.building(due.key) as building:
            known = None if fresh else self.cache.find(due.key)
            if known is not None:
                return known, True
            self.context.say(f"{due.id}: starts")
            started, before = time.monotonic(), len(self.context.warnings)
            here = replace(self.context, resume_folder=building.work)
            with _torch_prepared(self.recipe):
                made = STAGES[due.entry.step].run(due.entry.config, due.work, building.folder, here)
            seconds = time.monotonic() - started
            self.context.say(f"{due.id}: done in {seconds:.1f} s")
            meta = {
                "step": due.entry.step,
                "told": dict(made.told),
                "facts": dict(made.facts),
                "seconds": round(seconds, 3),
                "warnings": self.context.warnings[before:],
            }
            return building.commit(meta), False


@contextmanager
def _torch_prepared(recipe: Recipe) -> Iterator[None]:
    """Give every stage the same start, so that none depends on whether those before it came from the cache."""
    import torch

    threads = torch.get_num_threads()
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads or threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
