"""`attendc simplify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.console import Console
from attendc.cli.options import (
    checkpoint_options,
    checkpoint_request,
    common_options,
    printed,
    recipe_options,
    session,
)

__all__ = ["simplify_command"]

_PATH = click.Path(path_type=Path)
_NAMES = {"passes": "Only these passes, in attendc's order.", "skip": "All passes but these."}


def _split(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(n.strip() for n in text.split(",") if n.strip()))


@click.command("simplify")
@click.argument("source", type=_PATH)
@click.option("--passes", callback=_split, metavar="A,B", help=_NAMES["passes"])
@click.option("--skip", callback=_split, metavar="A,B", help=_NAMES["skip"])
@click.option(
    "--images",
    type=click.IntRange(0),
    default=16,
    show_default=True,
    help="Training images that each pass is proven on; 0: random inputs.",
)
@checkpoint_options
@click.option("--force", is_flag=True, help="Replace the output.")
@click.option("-o", "--output", type=_PATH, required=True, help="The .pt2 to write, or the .onnx of an .onnx.")
@recipe_options
@common_options
def simplify_command(source: Path, **given: Any) -> None:
    """Write the network of SOURCE, a checkpoint or an .onnx, with fewer operators of the same function.

    After each pass the outputs are compared; a pass that changes them is named and left out.
    """
    with session(given) as (console, context):
        from attendc import SimplifyConfig, SimplifyRequest, simplify_recipe, simplify_source

        config = SimplifyConfig(given.pop("passes"), given.pop("skip") or (), given.pop("images"))
        output, print_recipe, cached = given.pop("output"), given.pop("print_recipe"), not given.pop("no_cache")
        force = given.pop("force")
        request = SimplifyRequest(checkpoint_request(source, given), output, config, force, cached)
        if print_recipe and printed(console, simplify_recipe(request, context), wanted=True):
            return
        found = simplify_source(request, context)
        if console.as_json:
            console.json(found)
        else:
            _print(console, found)


def _print(console: Console, found: dict[str, Any]) -> None:
    before, after = found["before"], found["after"]
    names = {"nodes": "operators", "bytes": "bytes", "macs": "MACs"}
    rows = [(name, f"{before[key]:,}", f"{after[key]:,}") for key, name in names.items() if key in before]
    counts = [(op, before["ops"].get(op, 0), after["ops"].get(op, 0)) for op in {**before["ops"], **after["ops"]}]
    rows += [(op, str(first), str(last)) for op, first, last in sorted(counts, key=lambda c: (-max(c[1:]), c[0]))]
    title = f"{found['output']}: outputs compared on {found['proven_on']}"
    console.table(title, ("what", "before", "after"), rows)
    for row in found["passes"]:
        for note in row["notes"]:
            console.result(f"{row['pass']}: {note}")
    for note in found["notes"]:
        console.result(note)
    idle = sum(not row["changed"] and not row["left_out"] for row in found["passes"])
    if idle:
        console.result(f"{idle} other passes found nothing to do")
