"""`attendc data`: image data in shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.options import common_options, console_options, session, session_of_recipe

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["data_group"]

_PATH = click.Path(path_type=Path)


@click.group("data")
def data_group() -> None:
    """Write image data as shards, for sets that outgrow a disk, and index shards that others wrote.

    Shards are tars of webdataset. With the index.json beside them they are what --data takes, here or at a URI.
    """


@data_group.command("shard")
@click.argument("data")
@click.option(
    "--shard-bytes", default="256M", show_default=True, metavar="N", help="Close a shard after so many bytes of images."
)
@click.option("--shard-images", default=100_000, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--force", is_flag=True, help="Replace a folder of shards.")
@click.option("-o", "--output", required=True, type=_PATH, help="Folder to make.")
@common_options
def shard_command(data: str, **given: Any) -> None:
    """Write DATA (whatever --data takes) as shards of mixed images with their index.

    JPEG, PNG and WebP files go in as they are, all else as PNG. The index keeps the order of DATA, so that training on
    the shards of a folder gives the weights that training on the folder gives.
    """
    with session(given) as (console, context):
        from attendc import ShardRequest, shard_data

        _print(console, shard_data(ShardRequest(data, **given), context))


@data_group.command("index")
@click.argument("train")
@click.option("--test", default="", metavar="TARS", help="Of the test images.  [default: a fifth is split off]")
@click.option("--labels", type=_PATH, help="File with the name of a class a line.  [default: numbers]")
@click.option("--force", is_flag=True, help="Replace the index.")
@console_options
def index_command(train: str, **given: Any) -> None:
    """Write the index.json of TRAIN, the tars of a folder: 'shards/train-{000000..000127}.tar' or 'shards/*.tar'.

    A sample is KEY.jpg (.png, .webp) with KEY.cls, the number of its class, or KEY.json with "label".
    """
    with session_of_recipe(given) as (console, context):
        from attendc import IndexRequest, index_shards

        _print(console, index_shards(IndexRequest(train, **given), context))


def _print(console: Console, told: dict[str, Any]) -> None:
    if console.as_json:
        console.json(told)
        return
    rows = [(name, str(s["shards"]), f"{s['images']:,}", f"{s['bytes']:,}") for name, s in told["splits"].items()]
    console.table(f"{told['index']}: {len(told['labels'])} classes", ("split", "shards", "images", "bytes"), rows)
