"""`attendc verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.artefact_table import print_report
from attendc.cli.options import common_options, gate_options, gates_of, print_option, printed, session

__all__ = ["verify_command"]


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", default="", help="Built-in set, folder, shards, or .npz.  [default: as the checkpoint said]")
@gate_options
@click.option(
    "--on",
    multiple=True,
    metavar="CORE,...",
    help="Run TFLite and ONNX on emulated ARM cores too, and let the folder tell what came out. Repeatable.",
)
@print_option
@common_options
def verify_command(folder: Path, **given: Any) -> None:
    """Prove FOLDER again: run every artefact on real images and read every scale and integer back.

    \b
    attendc verify runs/attendnext_pico-int8
    attendc verify runs/attendnext_pico-int8 --on cortex-a72,cortex-a76 --images 500
    """  # noqa: D301 - \b is for click: keep these lines
    with session(given) as (console, context):
        from attendc import VerifyRequest, check_verification, prove_folder, verify_recipe

        print_recipe = given.pop("print_recipe")
        cores = tuple(name.strip() for text in given.pop("on") for name in text.split(",") if name.strip())
        request = VerifyRequest(folder, gates=gates_of(given), on=cores, **given)
        if printed(console, verify_recipe(request, context), wanted=print_recipe):
            return
        verification = prove_folder(request, context)
        if console.as_json:
            console.json(verification)
        else:
            print_report(console, folder, verification)
    check_verification(verification, command="verify")
