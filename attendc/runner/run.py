"""`run_recipe`: from a recipe to the folder of its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.errors import AttendcError, UsageError
from attendc.files import cache_folder, check_writable
from attendc.gates import broken_budgets, check_budgets, check_verification
from attendc.locations import is_uri
from attendc.reader.load import load_recipe
from attendc.reader.write import recipe_to_data
from attendc.recipe import Recipe
from attendc.runner.cache import StageCache, no_cache
from attendc.runner.execute import Executed, StageRun, executing
from attendc.runner.folder import write_run
from attendc.runner.junit import write_junit
from attendc.runner.keys import recipe_hash
from attendc.runner.place import check_place, placed
from attendc.runner.source import Source, open_source
from attendc.runner.summary import run_manifest
from attendc.runner.tracking import log_run
from attendc.runner.variants import write_comparison

__all__ = ["Run", "RunOptions", "executed_recipe", "run_recipe"]


@dataclass(frozen=True)
class RunOptions:
    """How to run, beside what the recipe says.

    Attributes:
        output: the folder to make, or its URI; None: `<output of the recipe>/<name>-<hash>`.
        force: replace an existing folder; that of the same recipe and inputs is replaced in any case.
        cached: take finished stages from the cache, and keep them there.
        start: id or step from which on everything is done anew; empty: nothing.
        until: id or step that is the last to be done; empty: the last.
        junit: where to write the gates as JUnit XML, those of a run that fails too.
        command: the verb that was typed, for the manifest.
    """

    output: Path | str | None = None
    force: bool = False
    cached: bool = True
    start: str = ""
    until: str = ""
    junit: Path | None = None
    command: str = "run"

    @property
    def replaces(self) -> bool:
        """Return whether a run that is there is replaced: where its name tells the recipe and the inputs, always."""
        return self.force or self.output is None


@dataclass(frozen=True)
class Run:
    """What came out.

    Attributes:
        folder: where it lies, or its URI.
        manifest: as in `manifest.json`.
        variants: name -> run, of a recipe with variants; then `manifest` tells how they compare.
    """

    folder: Path | str
    manifest: dict[str, Any]
    variants: Mapping[str, Run] = field(default_factory=dict)


def run_recipe(
    recipe: Recipe | Path | str,
    context: Context | None = None,
    options: RunOptions | None = None,
    *,
    sets: Sequence[str] = (),
) -> Run:
    """Run a recipe: every stage that was not done before, and then its folder.

        run = attendc.run_recipe("int8-qat", sets=["model.checkpoint=my.safetensors"])
        print(run.folder, run.manifest["verification"]["accuracy"])

    Args:
        recipe: the name of a shipped one, a file, or a `Recipe`.
        context: where to say what is going on; seed and device are the recipe's.
        options: where to write, and what to do again.
        sets: `stages.quantize.epochs=3` and the like, for a recipe that is read.

    Raises:
        AttendcError: of the kind that fits; then no folder is left behind, and finished stages stay in the cache.
    """
    options = options or RunOptions()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, sets)
    if options.junit is not None:
        check_writable(options.junit)
    if recipe.variants:
        return _run_variants(recipe, context or Context(), options)
    return _run_one(recipe, context or Context(), options)


def _run_one(recipe: Recipe, context: Context, options: RunOptions) -> Run:
    context, log = _with_log(context)
    if options.output is not None:
        check_place(options.output, force=options.replaces)
    with executed_recipe(recipe, context, options, lambda source: _check_default(recipe, source, options)) as executed:
        place = _place(recipe, options, executed.source)
        manifest = run_manifest(executed, context, command=options.command)
        with placed(place, context, force=options.replaces) as folder:
            write_run(executed, manifest, folder, log)
            log_run(manifest, folder, context)
    return Run(place, manifest)


def _run_variants(recipe: Recipe, context: Context, options: RunOptions) -> Run:
    """Run every variant into a folder of its own below one that tells how they compare."""
    if len(recipe.variants) < 2:
        (name,) = recipe.variants
        raise UsageError(f"{name} is the only variant", hint="Give two or more, or leave out `variants`")
    place = _place(recipe, options, *(open_source(variant, context) for variant in recipe.variants.values()))
    check_place(place, force=options.replaces)
    runs: dict[str, Run] = {}
    with placed(place, context, force=options.replaces) as folder:
        for name, variant in recipe.variants.items():
            context.say(f"variant {name}")
            here = replace(context, warnings=[])
            runs[name] = _run_one(variant, here, replace(options, output=folder / name, junit=_junit(options, name)))
            context.warnings.extend(here.warnings)
        manifests = {name: run.manifest for name, run in runs.items()}
        manifest = write_comparison(recipe, manifests, folder, context, command=options.command)
    where = str(place).rstrip("/")
    return Run(place, manifest, {name: replace(run, folder=f"{where}/{name}") for name, run in runs.items()})


def _check_default(recipe: Recipe, source: Source, options: RunOptions) -> None:
    """Check the place that is only known when the hash of what goes in is."""
    if options.output is None:
        check_place(_place(recipe, options, source), force=options.replaces)


def _place(recipe: Recipe, options: RunOptions, *sources: Source) -> Path | str:
    """Return where the run goes; `sources` are what goes into it, or into its variants."""
    if options.output is not None:
        return options.output
    place = f"{recipe.output.rstrip('/')}/{recipe.name}-{recipe_hash(recipe_to_data(recipe), *sources)}"
    return place if is_uri(place) else Path(place)


def _junit(options: RunOptions, variant: str) -> Path | None:
    """Return the file of a variant's gates: gates.xml becomes gates.ptq.xml."""
    path = options.junit
    return path.with_name(f"{path.stem}.{variant}{path.suffix}") if path is not None else None


@contextmanager
def executed_recipe(
    recipe: Recipe, context: Context, options: RunOptions, before_stages: Callable[[Source], None] = lambda _: None
) -> Iterator[Executed]:
    """Do the stages and yield what came out, without a folder; the files are there until this is left.

    `before_stages` is called when what goes in is known, and may refuse the run by raising.

    Raises:
        AttendcError: of the kind that fits, also where a gate does not hold.
    """
    judge = _Judge(recipe, options, context)
    with ExitStack() as held:
        try:
            cache = held.enter_context(_cache(options, context))
            doing = executing(
                recipe,
                context,
                cache,
                start=options.start,
                until=options.until,
                before_stages=before_stages,
                after_stage=judge.after_stage,
            )
            executed = held.enter_context(doing)
        except AttendcError as e:
            judge.write(e)
            raise
        judge.write(None)
        yield executed


class _Judge:
    """Collects the gates, refuses a stage whose gates do not hold, and writes all of them for CI."""

    def __init__(self, recipe: Recipe, options: RunOptions, context: Context) -> None:
        self.recipe, self.options, self.context = recipe, options, context
        self.rows: list[dict[str, Any]] = []
        self.refused = False

    def after_stage(self, stage: StageRun) -> None:
        """Look at the gates of one stage.

        Raises:
            ParityError, AccuracyError, BudgetError: if one does not hold and the recipe does not overrule it.
        """
        told = stage.entry.meta["told"]
        rows = told.get("gates", [])
        self.rows += rows
        verification = told.get("verification", {"failures": (), "accuracy_failures": ()})
        if stage.entry.meta["facts"].get("gate"):
            self.refused = any(not row["passed"] for row in rows)
            check_verification(verification, command=self.options.command)
            check_budgets(rows)
        for text in (*verification["failures"], *verification["accuracy_failures"], *broken_budgets(rows)):
            self.context.warn(f"gate failed and was overridden: {text}")

    def write(self, error: AttendcError | None) -> None:
        """Write the gates, where they are wanted, and why the run ended if not by a gate."""
        if self.options.junit is None:
            return
        write_junit(self.options.junit, self.recipe.name, self.rows, error=None if self.refused else error)


@contextmanager
def _cache(options: RunOptions, context: Context) -> Iterator[StageCache]:
    if options.cached:
        yield StageCache(cache_folder() / "stages", say=context.say)
    else:
        with no_cache(say=context.say) as cache:
            yield cache


def _with_log(context: Context) -> tuple[Context, list[str]]:
    """Return a context that keeps a copy of every line, with the seconds since now."""
    lines: list[str] = []
    started, say = time.monotonic(), context.say

    def tee(text: str) -> None:
        lines.append(f"{time.monotonic() - started:8.1f} s  {text}")
        say(text)

    return replace(context, say=tee), lines
