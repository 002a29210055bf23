"""`attendc inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.layer_table import LAYER_COLUMNS, layer_texts, totals_line
from attendc.cli.options import checkpoint_options, checkpoint_request, common_options, session

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["inspect_command"]

_PATH = click.Path(path_type=Path)


@click.command("inspect")
@click.argument("file", type=_PATH)
@click.option(
    "--layers/--no-layers", default=True, show_default=True, help="Tell each layer, or the file's facts only."
)
@click.option("--graph", "drawing", type=_PATH, metavar="SVG", help="Draw the network into this .svg file.")
@click.option("--force", is_flag=True, help="Replace a drawing that is there.")
@checkpoint_options
@common_options
def inspect_command(file: Path, **given: Any) -> None:
    """Show what FILE holds: its facts, and each layer with shapes, dtypes, scales, MACs and bytes.

    FILE is a checkpoint, a .pt2, .tflite or .onnx, a TorchScript file, a SavedModel, or a folder that attendc made, of
    which the files are listed. MACs are those of one image, bytes those of the weights in the dtype that is shown.

    \b
    attendc inspect model.int8.tflite --graph network.svg

    It makes nothing but the drawing, so it is no stage of a recipe.
    """  # noqa: D301 - \b is for click: keep these lines
    with session(given) as (console, _):
        from attendc import inspect_file

        how = {name: given.pop(name) for name in ("layers", "drawing", "force")}
        found = inspect_file(checkpoint_request(file, given), **how)
        if console.as_json:
            console.json(found)
        else:
            _print(console, file, found)


def _print(console: Console, file: Path, found: dict[str, Any]) -> None:
    layers, files = found.pop("layers", None), found.pop("files", None)
    sums, drawing, why = (found.pop(key, None) for key in ("totals", "drawing", "no_layers"))
    console.table(str(file), ("what", "value"), [(key, _short(value)) for key, value in found.items()])
    if files is not None:
        columns = ("format", "dtype", "bytes")
        rows = [(name, *(_short(entry.get(c, "")) for c in columns)) for name, entry in files.items()]
        console.table("its files", ("file", *columns), rows)
    if layers is not None:
        console.table(totals_line(sums), LAYER_COLUMNS, layer_texts(layers), whole=True)
    if why is not None:
        console.result(f"no layers: {why}")
    if drawing is not None:
        console.result(f"drawing: {drawing}")


def _short(value: object, *, width: int = 90) -> str:
    text = f"{value:,}" if isinstance(value, int) else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= width else text[: width - 3] + "..."
