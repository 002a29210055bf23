"""`attendc cache`: what is kept of stages that were done, and how to make room."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from attendc.cli.options import session_of_recipe
from attendc.errors import UsageError

__all__ = ["cache_group"]

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


@click.group("cache")
def cache_group() -> None:
    """Look at the stages that are kept, and make room.

    They lie in $ATTENDC_CACHE, else in attendc/ of $XDG_CACHE_HOME, else in ~/.cache/attendc.
    """


@cache_group.command("list")
@_json
def list_command(as_json: bool) -> None:
    """List the stages that are kept, the least recently used first."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        cache, folder = _cache(console.say)
        entries = cache.entries()
        if console.as_json:
            console.json({"folder": str(folder), "entries": [vars(e) for e in entries]})
            return
        now = time.time()
        rows = [(e.step or "?", e.key[:12], e.state, f"{e.bytes:,}", _ago(now - e.used)) for e in entries]
        console.table(f"{folder}: {len(entries)} stages", ("stage", "key", "state", "bytes", "last used"), rows)


@cache_group.command("prune")
@click.option("--older-than", default="", metavar="AGE", help="What was not used for so long: 12h, 30d.")
@click.option("--keep", default="", metavar="SIZE", help="The least recently used beyond so much: 500M, 2G.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@_json
def prune_command(older_than: str, keep: str, everything: bool, as_json: bool) -> None:
    """Remove stages that are kept. What another run is using stays."""
    if not (older_than or keep or everything):
        raise UsageError("nothing says what to remove", hint="Add --older-than 30d, --keep 2G or --all")
    with session_of_recipe({"as_json": as_json}) as (console, _):
        cache, folder = _cache(console.say)
        pruned = cache.prune(
            older_than_s=_amount(older_than, _SECONDS, "--older-than", "12h or 30d") if older_than else None,
            keep_bytes=_amount(keep, _BYTES, "--keep", "500M or 2G") if keep else None,
            everything=everything,
        )
        told: dict[str, Any] = vars(pruned)
        if console.as_json:
            console.json({"folder": str(folder), **told})
        else:
            console.result(f"{folder}: " + ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in told.items()))


def _cache(say: Any) -> tuple[Any, Any]:
    from attendc.files import cache_folder
    from attendc.runner.cache import StageCache

    folder = cache_folder() / "stages"
    return StageCache(folder, say=say), folder


def _amount(text: str, units: dict[str, int], option: str, example: str) -> int:
    found = re.fullmatch(r"(\d+)([a-z]?)b?", text.lower())
    if found is None or found[2] not in units:
        raise click.BadParameter(f"{text!r} is not an amount such as {example}", param_hint=option)
    return int(found[1]) * units[found[2]]


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "now"
