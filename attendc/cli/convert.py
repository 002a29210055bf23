"""`attendc convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.artefact_table import print_artefacts
from attendc.cli.options import (
    checkpoint_options,
    checkpoint_request,
    common_options,
    gate_options,
    gates_of,
    names_from,
    session,
)

__all__ = ["convert_command"]

_PATH = click.Path(path_type=Path)


@click.command("convert")
@click.argument("source", type=_PATH)
@click.option(
    "--to",
    "formats",
    default="tflite,onnx,torchscript",
    show_default=True,
    callback=names_from(("tflite", "onnx", "torchscript")),
    help="Formats to write.",
)
@click.option(
    "--dtype",
    "dtypes",
    default="float32",
    show_default=True,
    callback=names_from(("int8", "float32")),
    help="Types to write; int8 needs a source that attendc quantized.",
)
@click.option(
    "--io",
    default="int8",
    show_default=True,
    type=click.Choice(["int8", "uint8", "float32"]),
    help="Type of the int8 TFLite file's input and output.",
)
@checkpoint_options
@gate_options
@click.option("--force", is_flag=True, help="Replace the output folder if attendc made it.")
@click.option("-o", "--output", type=_PATH, required=True, help="Folder to make.")
@common_options
def convert_command(source: Path, **given: Any) -> None:
    """Convert SOURCE (a checkpoint, or a folder or .pt2 of attendc's) and verify what came out."""
    with session(given) as (console, context):
        from attendc.jobs.convert import ConvertRequest, convert

        output = given.pop("output")
        request = ConvertRequest(checkpoint_request(source, given), output, gates=gates_of(given), **given)
        manifest = convert(request, context)
        if console.as_json:
            console.json(manifest)
        else:
            print_artefacts(console, output, manifest)
