"""`attendc verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.artefact_table import print_report
from attendc.cli.options import common_options, gate_options, gates_of, session

__all__ = ["verify_command"]


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", default="", help="Built-in set, folder, or .npz.  [default: as the checkpoint said]")
@gate_options
@common_options
def verify_command(folder: Path, **given: Any) -> None:
    """Prove FOLDER again: run every artefact on real images and read every scale and integer back."""
    with session(given) as (console, context):
        from attendc.jobs.verify import VerifyRequest, verify_folder
        from attendc.parity import check_gates

        report = verify_folder(VerifyRequest(folder, gates=gates_of(given), **given), context)
        if console.as_json:
            console.json(report.as_json())
        else:
            print_report(console, folder, report.as_json())
    check_gates(report)
