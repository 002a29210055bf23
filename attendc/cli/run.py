"""`attendc run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.artefact_table import print_artefacts
from attendc.cli.comparison_table import print_comparison
from attendc.cli.options import console_options, options, session_of_recipe
from attendc.cli.step_table import print_steps

if TYPE_CHECKING:
    from attendc import Context, Recipe, Run
    from attendc.cli.console import Console

__all__ = ["run_command", "set_option"]

set_option = click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a value: stages.quantize.epochs=3. Repeatable."
)

_what_options = options(
    set_option,
    click.option("--from", "start", default="", metavar="STAGE", help="Do this stage and those after it anew."),
    click.option("--until", default="", metavar="STAGE", help="Stop after this stage."),
    click.option("--no-cache", is_flag=True, help="Do everything anew, and keep nothing for the next time."),
    click.option("--dry-run", is_flag=True, help="Show what would be done, what is cached and what is missing."),
)


@click.command("run")
@click.argument("recipe")
@_what_options
@click.option("--junit", type=click.Path(path_type=Path), help="Write the gates as JUnit XML, failed ones too.")
@click.option("--force", is_flag=True, help="Replace the output folder if attendc made it.")
@click.option("-o", "--output", help="Folder or URI.  [default: runs/<name>-<hash of recipe and inputs>]")
@console_options
def run_command(recipe: str, **given: Any) -> None:
    """Run RECIPE: a file, or the name of one that ships (attendc recipe list).

    Stages that were done before come from the cache; a run that was killed goes on where it stopped when the same
    command is typed again.

    \b
    attendc run int8-qat
    attendc run int8-qat --set model.checkpoint=my.safetensors --set stages.quantize.epochs=5
    attendc run recipe.yaml --dry-run
    """  # noqa: D301 - \b is for click: keep these lines
    with session_of_recipe(given) as (console, context):
        from attendc import RunOptions, load_recipe, run_recipe

        loaded = load_recipe(recipe, given.pop("sets"))
        cached = not given.pop("no_cache")
        if given.pop("dry_run"):
            _dry_run(console, loaded, context, given["start"], given["until"], cached=cached)
            return
        run = run_recipe(loaded, context, RunOptions(**given, cached=cached))
        if console.as_json:
            console.json({"folder": str(run.folder), **run.manifest})
        else:
            _print_run(console, run)


def _dry_run(console: Console, recipe: Recipe, context: Context, start: str, until: str, *, cached: bool) -> None:
    from attendc import plan_run

    plan = plan_run(recipe, context, start=start, until=until, cached=cached)
    if console.as_json:
        console.json(plan)
        return
    head = ("variant", "id", "state", "why") if recipe.variants else ("id", "state", "why")
    rows = [tuple(row[name] for name in head) for row in plan["stages"]]
    console.text_table(f"{recipe.name}: nothing was done", head, rows)
    for text in plan["missing"]:
        console.result(f"missing: {text}")


def _print_run(console: Console, run: Run) -> None:
    manifest = run.manifest
    for name, variant in run.variants.items():
        _print_one(console, f"{run.folder}/{name}", variant.manifest)
    if run.variants:
        print_comparison(console, manifest["comparison"])
        console.result(f"side by side: {run.folder}/compare.html")
        return
    _print_one(console, str(run.folder), manifest)
    console.result(f"report: {run.folder}/report.html")


def _print_one(console: Console, folder: str, manifest: dict[str, Any]) -> None:
    if "steps" in manifest:
        print_steps(console, "pruning", manifest["steps"])
    if "verification" in manifest:
        print_artefacts(console, folder, manifest)
        return
    rows = [(name, f"{entry['bytes']:,}") for name, entry in manifest["outputs"].items()]
    console.table(f"{folder}: not verified", ("file", "bytes"), rows)
