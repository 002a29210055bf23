"""`attendc convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.artefact_table import print_artefacts
from attendc.cli.options import (
    artefact_options,
    checkpoint_options,
    checkpoint_request,
    classes_option,
    common_options,
    gate_options,
    gates_of,
    no_verify_option,
    printed,
    recipe_options,
    session,
    verify_wanted,
)

__all__ = ["convert_command"]

_PATH = click.Path(path_type=Path)


@click.command("convert")
@click.argument("source", type=_PATH, required=False)
@artefact_options(
    "float32",
    "Types to write; of a source that attendc quantized int8 too. TFLite has float16, dynamic and int16 as well.",
)
@checkpoint_options
@classes_option
@gate_options
@no_verify_option
@click.option("--force", is_flag=True, help="Replace the output folder if attendc made it.")
@click.option("-o", "--output", type=_PATH, required=True, help="Folder to make.")
@recipe_options
@common_options
def convert_command(source: Path | None, **given: Any) -> None:
    """Convert SOURCE (a checkpoint, or a folder or .pt2 of attendc's) and verify what came out.

    Without SOURCE a --model is converted with random weights, to see what it costs.
    """
    with session(given) as (console, context):
        from attendc import ConvertRequest, convert_recipe, convert_source

        output, print_recipe = given.pop("output"), given.pop("print_recipe")
        given["cached"], given["verify"] = not given.pop("no_cache"), verify_wanted(given)
        request = ConvertRequest(checkpoint_request(source, given), output, gates=gates_of(given), **given)
        if printed(console, convert_recipe(request, context), wanted=print_recipe):
            return
        manifest = convert_source(request, context)
        if console.as_json:
            console.json(manifest)
        else:
            print_artefacts(console, output, manifest)
            console.result(f"report: {output}/report.html")
