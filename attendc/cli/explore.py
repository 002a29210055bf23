"""`attendc explore`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from attendc.cli.exploration_table import print_exploration
from attendc.cli.options import console_options, finite, options, session

__all__ = ["explore_command"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


def _duration(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return seconds of `30m`."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration, for example 90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]


_study_options = options(
    click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Processes on this computer."),
    click.option("--timeout", callback=_duration, metavar="30m", help="Begin no new trial after so long."),
    click.option(
        "--storage",
        default="",
        metavar="URL",
        help="postgresql:// or mysql:// that several computers share.  [default: a file in OUTPUT]",
    ),
    click.option("--study", default="", metavar="NAME", help="Its name in the storage.  [default: that of OUTPUT]"),
    click.option(
        "--heartbeat",
        default="15,60",
        show_default=True,
        metavar="EVERY,GRACE",
        help="Seconds between signs of life of a trial, and without one until another process trains it.",
    ),
)


@click.command("explore")
@click.argument("space", default="fashion-mnist")
@click.option("--trials", default=60, show_default=True, type=click.IntRange(1), help="To be done by all processes.")
@click.option("--epochs", default=9, show_default=True, type=click.IntRange(1), help="Of a trial not stopped early.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="WHAT:LIMIT",
    help="cortex-a76:2.7M, params:0.5M, macs, bytes, memory; below 1 a part of the baseline's; accuracy:0.90 at least."
    " Repeatable.  [default: the space's]",
)
@click.option(
    "--search",
    default="synthesis",
    show_default=True,
    type=click.Choice(["synthesis", "pareto"]),
    help="Maximise U, or accuracy against instructions.",
)
@click.option("--baseline", default="", metavar="PRESET", help="Or its .yaml: trained first, by the same protocol.")
@click.option("--data", default="fashion-mnist-mini", show_default=True, help="Built-in set, folder, shards, or .npz.")
@click.option(
    "--hold-out",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    callback=finite,
    help="Part of the training images that accuracy is measured on.",
)
@click.option(
    "--candidates",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Drawn for each trial, ranked by a proxy.",
)
@click.option("--ablate", is_flag=True, help="Train the ablations of the winner too.")
@_study_options
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of every random choice.")
@click.option("--force", is_flag=True, help="Begin anew where OUTPUT holds another exploration.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the results.")
@console_options
def explore_command(**given: Any) -> None:
    """Search SPACE, a shipped space or a YAML file, for designs that are accurate and cost little on an ARM core.

    The same command again goes on where a killed or finished one stopped. Started on N computers with the same
    --storage, it is one search that all of them work on.

    \b
    attendc explore --budget cortex-a76:0.7 --baseline attendnext_nano --timeout 30m --jobs 2 -o explored
    attendc explore space.yaml --storage postgresql://user:password@host/database -o explored
    attendc train --model explored/winner.yaml -o winner.safetensors
    """  # noqa: D301 - \b is for click: keep these lines
    given["threads"] = 1
    with session(given) as (console, context):
        from attendc import ExploreRequest, Heartbeat, explore_space

        beat = Heartbeat(*_pair(given.pop("heartbeat")))
        result = explore_space(ExploreRequest(**given, heartbeat=beat), context)
        if console.as_json:
            console.json(result)
        else:
            print_exploration(console, result, given["output"])


def _pair(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts) or int(parts[0]) >= int(parts[1]):
        raise click.BadParameter(f"{text!r} is not EVERY,GRACE in whole seconds, EVERY below GRACE")
    return int(parts[0]), int(parts[1])
