"""`attendc train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attendc.cli.options import (
    common_options,
    finite,
    key_values,
    precision_option,
    printed,
    recipe_options,
    session,
    size,
)

__all__ = ["train_command"]


@click.command("train")
@click.option(
    "--model", default="attendnext_nano", show_default=True, help="Preset, YAML file, or package.module:factory."
)
@click.option("--model-arg", "model_args", multiple=True, metavar="K=V", help="Argument of the model; repeatable.")
@click.option("--data", default="fashion-mnist-mini", show_default=True, help="Built-in set, folder, shards, or .npz.")
@click.option("--spec-data", default="", help="Data that later commands use by default.  [default: --data]")
@click.option("--input-size", default="", metavar="HxW", help="Input of the network.  [default: the preset's]")
@click.option("--init", type=click.Path(path_type=Path), help="Checkpoint to start from.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(0))
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1))
@click.option("--lr", default=4e-3, show_default=True, type=float, help="Peak learning rate of AdamW.")
@click.option("--weight-decay", default=0.05, show_default=True, type=float)
@click.option("--label-smoothing", default=0.1, show_default=True, type=click.FloatRange(0, 1), callback=finite)
@click.option("--flip/--no-flip", default=True, show_default=True, help="Mirror half of the images.")
@click.option("--shift", default=2, show_default=True, type=click.IntRange(0), help="Move by up to so many pixels.")
@click.option(
    "--hold-out",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    callback=finite,
    help="Part of the training images that chooses the best epoch.",
)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@precision_option
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .safetensors to write.")
@recipe_options
@common_options
def train_command(**given: Any) -> None:
    """Train a network: the best epoch goes to OUTPUT, the last to OUTPUT with .last before its suffix.

    The same command again goes on where a killed one stopped.
    """
    with session(given, device=given.pop("device")) as (console, context):
        from attendc import TrainOptions, TrainRequest, train_checkpoint, train_recipe

        loop = {k: given.pop(k) for k in list(given) if k in TrainOptions.__dataclass_fields__}
        loop["precision"] = loop["precision"] or "float32"
        given |= {"model_args": key_values(given["model_args"]), "input_size": size(given["input_size"])}
        print_recipe, given["cached"] = given.pop("print_recipe"), not given.pop("no_cache")
        request = TrainRequest(**given, options=TrainOptions(**loop))
        if printed(console, train_recipe(request, context), wanted=print_recipe):
            return
        summary = train_checkpoint(request, context)
        if console.as_json:
            console.json(summary)
            return
        console.result(f"{summary['checkpoint']}: {summary['params']:,} parameters")
        console.table(
            "",
            ("epoch", "test accuracy"),
            [(name, f"{summary[f'{name}_accuracy']:.2%}") for name in ("best", "last")],
        )
