"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from attendc.cli.console import Console, open_console
from attendc.context import Context

__all__ = ["common_options", "key_values", "session", "size"]

F = TypeVar("F", bound=Callable[..., Any])


def common_options(command: F) -> F:
    """Add --seed, --threads, --json, -v and -q."""
    for option in reversed(
        (
            click.option("--seed", default=0, show_default=True, type=int),
            click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]"),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
            click.option("-v", "--verbose", is_flag=True, help="Show what the libraries print."),
            click.option("-q", "--quiet", is_flag=True, help="No progress, no log."),
        )
    ):
        command = option(command)
    return command


def key_values(texts: tuple[str, ...]) -> dict[str, object]:
    """Return {K: V} of `K=V` texts; a V that is JSON (a number, a list, true) becomes that, else it stays text."""
    values: dict[str, object] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{text!r} is not K=V")
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    return values


def size(text: str) -> tuple[int, int] | None:
    """Return (H, W) of `HxW`; None of an empty text."""
    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise click.BadParameter(f"{text!r} is not HxW, for example 32x32")
    return int(parts[0]), int(parts[1])


@contextmanager
def session(
    *, seed: int, threads: int | None, verbose: bool, quiet: bool, device: str = "cpu"
) -> Iterator[tuple[Console, Context]]:
    """Open the console and the context of one command."""
    with open_console(verbose=verbose, quiet=quiet) as console:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        yield console, Context(seed, device, console.progress, console.say)
