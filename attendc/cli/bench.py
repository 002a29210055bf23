"""`attendc bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.bench_tables import print_bench
from attendc.cli.options import console_options, session_of_recipe
from attendc.cli.ssh_options import ssh_options, ssh_options_of

if TYPE_CHECKING:
    from attendc import BenchRequest

__all__ = ["bench_command"]

_PATH = click.Path(path_type=Path)


@click.command("bench")
@click.argument("files", nargs=-1, required=True, type=_PATH, metavar="FILE...")
@click.option(
    "--on",
    "places",
    multiple=True,
    required=True,
    metavar="PLACE,...",
    help="Cores as `attendc arm cores` lists them; local; ssh:user@host[:port]. Repeatable.",
)
@click.option("--layers", is_flag=True, help="Instructions of each layer of TFLite files too.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Of what is timed.")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(6), help="Inferences that are timed.")
@click.option("--warmup", default=10, show_default=True, type=click.IntRange(0), help="Inferences before them.")
@click.option("-o", "--output", type=_PATH, metavar="JSON", help="Write the entries of --json into this file too.")
@click.option("--force", is_flag=True, help="Replace an output that is there.")
@ssh_options
@console_options
def bench_command(files: tuple[Path, ...], **given: Any) -> None:
    """Tell what .tflite and .onnx FILEs cost, or those in a folder that attendc made.

    On an emulated core: the instructions of one inference, exact, with one thread. They are a count, not a time.
    Here (local) and on a board (ssh:): milliseconds, the median and its 95 % confidence interval.

    \b
    attendc bench model.int8.tflite --on cortex-a76,cortex-a72 --layers
    attendc bench nano-int8 --on ssh:pi@raspberrypi.local --threads 4
    """  # noqa: D301 - \b is for click: keep these lines
    with session_of_recipe(given) as (console, context):
        from attendc import bench_files

        entries = bench_files(_request(files, given), context)
        if console.as_json:
            console.json(entries)
        else:
            print_bench(console, entries)


def _request(files: tuple[Path, ...], given: dict[str, Any]) -> BenchRequest:
    from attendc import BenchRequest, TimeOptions

    ssh = ssh_options_of(given)
    options = TimeOptions(given.pop("threads"), given.pop("warmup"), given.pop("runs"))
    return BenchRequest(files, options=options, ssh=ssh, **given)
