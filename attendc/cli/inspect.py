"""`attendc inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from attendc.cli.options import checkpoint_options, checkpoint_request, common_options, session

__all__ = ["inspect_command"]


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@checkpoint_options
@common_options
def inspect_command(file: Path, **given: Any) -> None:
    """Show what FILE holds: operators and types of a .tflite or .onnx, parameters, MACs and Spec of a checkpoint.

    It makes nothing, so it is no stage of a recipe.
    """
    with session(given) as (console, _):
        from attendc import inspect_file

        found = inspect_file(checkpoint_request(file, given))
        if console.as_json:
            console.json(found)
            return
        rows = [(key, _short(value)) for key, value in found.items()]
        console.table(str(file), ("what", "value"), rows)


def _short(value: object, *, width: int = 90) -> str:
    text = f"{value:,}" if isinstance(value, int) else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= width else text[: width - 3] + "..."
