"""`attendc analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.options import (
    IMPORTANCES,
    checkpoint_options,
    checkpoint_request,
    common_options,
    printed,
    recipe_options,
    session,
)
from attendc.errors import UsageError

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["analyze_command"]

_PATH = click.Path(path_type=Path)


def _ratios(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    """Return the ratios of `0.75,0.5,0.25`; None where none are given."""
    if text is None:
        return None
    try:
        ratios = tuple(dict.fromkeys(float(t) for t in text.split(",")))
    except ValueError as e:
        raise click.BadParameter(f"{text!r} is not a list of numbers, for example 0.75,0.5,0.25") from e
    wrong = [r for r in ratios if not 0 < r < 1]
    if wrong:
        raise click.BadParameter(f"{wrong[0]:g} is not between 0 and 1")
    return ratios


@click.command("analyze")
@click.argument("checkpoint", type=_PATH)
@click.option("--sensitivity", is_flag=True, help="Prune and quantize each part alone (the only analysis so far).")
@click.option(
    "--importance",
    default="taylor",
    show_default=True,
    type=click.Choice(IMPORTANCES),
    help="Which channels go first.",
)
@click.option(
    "--keep",
    "keep_ratios",
    metavar="A,B,C",
    callback=_ratios,
    help="Parts of the channels that stay.  [default: those that attendc prune goes by]",
)
@checkpoint_options
@click.option("-o", "--output", type=_PATH, help="Picture, .svg or .png.  [default: runs/<checkpoint>-sensitivity.svg]")
@recipe_options
@common_options
def analyze_command(checkpoint: Path, **given: Any) -> None:
    """Measure how much accuracy CHECKPOINT loses when one layer or block alone is pruned, removed or int8.

    Measured on training images, so that test images choose nothing. What was measured is kept in the user's cache
    ($ATTENDC_CACHE, or attendc in $XDG_CACHE_HOME), where attendc prune --sensitivity finds it.

    \b
    attendc analyze examples/attendnext_pico.safetensors --sensitivity -o sensitivity.svg
    """  # noqa: D301 - \b is for click: keep these lines
    if not given.pop("sensitivity"):
        raise UsageError("say what to analyze", hint="Add --sensitivity (the only analysis so far)")
    with session(given) as (console, context):
        from attendc import AnalyzeRequest, analyze_checkpoint, analyze_recipe

        output = given.pop("output") or Path("runs") / f"{checkpoint.stem}-sensitivity.svg"
        print_recipe, given["cached"] = given.pop("print_recipe"), not given.pop("no_cache")
        if given["keep_ratios"] is None:
            del given["keep_ratios"]
        request = AnalyzeRequest(checkpoint_request(checkpoint, given), output, **given)
        if printed(console, analyze_recipe(request, context), wanted=print_recipe):
            return
        found = analyze_checkpoint(request, context)
        if console.as_json:
            console.json(found)
        else:
            _print(console, checkpoint, found)


def _print(console: Console, checkpoint: Path, found: dict[str, Any]) -> None:
    columns = [*(f"keep {ratio:g}" for ratio in found["options"]["keep"]), "removed", "int8"]
    rows = [[row["part"], *(_points(row["lost"].get(column)) for column in columns)] for row in found["parts"]]
    console.table(f"{checkpoint}: points of accuracy lost, one part alone at a time", ("part", *columns), rows)
    whole = found["whole"]
    console.result(
        f"the whole: {whole['float32']['accuracy']:.2%} in float32, {whole['int8']['accuracy']:.2%} in int8, "
        f"on {found['judged_on']['images']:,} training images"
    )
    for name, reason in found["refused"].items():
        console.result(f"cannot be pruned: {name}: {reason}")
    console.result(f"picture: {found['picture']}")


def _points(lost: float | None) -> str:
    return "" if lost is None else f"{round(lost, 1) + 0:.1f}"  # + 0: no -0.0
