"""`attendc check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.check_table import print_checked
from attendc.cli.options import console_options, session_of_recipe

if TYPE_CHECKING:
    from attendc import CheckRequest

__all__ = ["check_command"]


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--target", required=True, metavar="CORE[,CORE]", help="Cores to check for; attendc arm cores lists them."
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="CONDITION",
    help="End with code 8 if this is so: partitions>1, instructions>60M, fallen>0, macs>1G, bytes>4M; repeatable.",
)
@click.option("--all", "every", is_flag=True, help="Show every layer, in order, not only the costly ones.")
@console_options
def check_command(files: tuple[Path, ...], target: str, fail_on: tuple[str, ...], every: bool, **given: Any) -> None:
    """Tell what TFLite files will cost on ARM cores, and what to do about it; needs no device and no emulator.

    It shows which operators XNNPACK takes, in how many parts, which fall out and why, what each layer is expected to
    cost by a table measured on emulated cores, and what would spare most. A folder that attendc made stands for its
    TFLite files.

    \b
    attendc check model.int8.tflite --target cortex-a72,cortex-a76 --fail-on "partitions>1"
    """  # noqa: D301 - \b is for click: keep these lines
    with session_of_recipe(given) as (console, context):
        from attendc import check_conditions, check_files

        found = check_files(_request(files, target, fail_on), context)
        if console.as_json:
            console.json(found)
        else:
            for one in found["files"]:
                print_checked(console, one, every=every)
    check_conditions(found)


def _request(files: tuple[Path, ...], target: str, fail_on: tuple[str, ...]) -> CheckRequest:
    from attendc import CheckRequest

    return CheckRequest(files, tuple(name.strip() for name in target.split(",")), fail_on)
