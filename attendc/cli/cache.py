"""`attendc cache`: what is kept of stages that were done, and how to make room."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from attendc.cli.options import json_option, session_of_recipe
from attendc.errors import UsageError

if TYPE_CHECKING:
    from attendc import Context, StageCache

__all__ = ["cache_group"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def _amount(
    units: dict[str, int], examples: str
) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Return a callback that reads a number and one of these units."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        found = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-z]?)", text.lower())
        if found is None or found[2] not in units:
            raise click.BadParameter(f"{text!r} is not an amount such as {examples}")
        return float(found[1]) * units[found[2]]

    return read


@click.group("cache")
def cache_group() -> None:
    """Look at the stages that are kept, and make room.

    They lie in stages/ of the user's cache: $ATTENDC_CACHE, else attendc/ in $XDG_CACHE_HOME, else ~/.cache/attendc.
    What was downloaded (fetched/, shards/), measured (sensitivity/) and set up (arm/) lies beside them and is not
    touched; these folders may be removed by hand while nothing runs.
    """


@cache_group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the stages that are kept, the least recently used first."""
    with session_of_recipe({"as_json": as_json}) as (console, context):
        cache = _cache(context)
        entries = cache.entries()
        if console.as_json:
            console.json({"folder": str(cache.root), "entries": [asdict(e) for e in entries]})
            return
        now = time.time()
        rows = [(e.step or "?", e.key[:12], e.state, f"{e.size:,}", _ago(now - e.last_used)) for e in entries]
        title = f"{cache.root}: stages: {len(entries)}, bytes: {sum(e.size for e in entries):,}"
        console.table(title, ("stage", "key", "state", "bytes", "last used"), rows)


@cache_group.command("prune")
@click.option(
    "--older-than",
    metavar="AGE",
    callback=_amount(_SECONDS, "12h or 30d"),
    help="Remove what was not used for so long: 12h, 30d.",
)
@click.option(
    "--keep",
    metavar="SIZE",
    callback=_amount(_BYTES, "500M or 2G"),
    help="Remove the least recently used until so much is left: 500M, 2G.",
)
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
@json_option
def prune_command(older_than: float | None, keep: float | None, everything: bool, as_json: bool) -> None:
    """Remove stages that are kept. What another run is using stays."""
    with session_of_recipe({"as_json": as_json}) as (console, context):
        if older_than is None and keep is None and not everything:
            raise UsageError("nothing says what to remove", hint="Add --older-than 30d, --keep 2G or --all")
        cache = _cache(context)
        keep_bytes = None if keep is None else int(keep)
        pruned = cache.prune(older_than_s=older_than, keep_bytes=keep_bytes, everything=everything)
        if console.as_json:
            console.json({"folder": str(cache.root), **asdict(pruned)})
            return
        busy = f", kept since another run uses them: {pruned.busy}" if pruned.busy else ""
        console.result(f"{cache.root}: stages removed: {pruned.entries}, bytes: {pruned.size:,}{busy}")


def _cache(context: Context) -> StageCache:
    from attendc import StageCache
    from attendc.files import cache_folder

    return StageCache(cache_folder() / "stages", say=context.say)


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "now"
