"""`attendc compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.comparison_table import print_comparison
from attendc.cli.options import json_option, max_drop_option, session_of_recipe
from attendc.errors import AccuracyError

__all__ = ["compare_command"]

_PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("runs", type=_PATH, nargs=-1, required=True)
@max_drop_option("Accuracy that a run may have less than the first, in points.")
@click.option("-o", "--output", type=_PATH, help="Page to write, .html.")
@json_option
def compare_command(runs: tuple[Path, ...], max_drop: float, output: Path | None, as_json: bool) -> None:
    """Put RUNS (folders that attendc made) side by side; the first is the baseline.

    Exits with 7 where a later run is worse by more than --max-drop points.

    \b
    attendc compare runs/main runs/branch -o compare.html
    """  # noqa: D301 - \b is for click: keep these lines
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import compare_runs, comparison_json, read_manifest, render_comparison
        from attendc.files import check_writable, replace_file

        if output is not None:
            check_writable(output)
        manifests: list[tuple[str, dict[str, Any]]] = [(str(folder), read_manifest(folder)) for folder in runs]
        comparison = compare_runs(manifests, max_drop=max_drop)
        told = comparison_json(comparison)
        if output is not None:
            with replace_file(output) as beside:
                beside.write_text(render_comparison(comparison, [m for _, m in manifests]), encoding="utf-8")
        if console.as_json:
            console.json(told)
        else:
            print_comparison(console, told)
            if output is not None:
                console.result(f"side by side: {output}")
    if comparison.worse:
        dropped = comparison.worst_drop is not None and comparison.worst_drop > max_drop
        hint = "Allow more with --max-drop POINTS" if dropped else ""
        raise AccuracyError("; ".join(comparison.worse), hint=hint)
