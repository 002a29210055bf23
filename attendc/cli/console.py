"""What the user sees: results on stdout, log and progress on stderr, and the libraries' chatter in a file.

tensorflow, litert-torch and nncf write to both streams, some of it from C++. Unless `-v` is given, the file
descriptors 1 and 2 point to a log file while a command runs, and only the console writes to the real streams.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from attendc.context import silent_progress
from attendc.errors import AttendcError

if TYPE_CHECKING:
    from attendc.context import Advance

__all__ = ["Console", "open_console"]

_SECONDS_BETWEEN_LINES = 15
_WHOLE = 1000


@dataclass(frozen=True)
class Console:
    """Attributes:
    out: the real stdout.
    err: the real stderr.
    log: where the libraries' chatter goes; None with `-v`.
    quiet: whether progress and log lines are left out (`-q`).
    as_json: whether the result is one JSON object (`--json`).
    """

    out: TextIO
    err: TextIO
    log: Path | None
    quiet: bool = False
    as_json: bool = False

    def say(self, text: str) -> None:
        """Print a line of log."""
        if not self.quiet:
            print(text, file=self.err, flush=True)

    def result(self, text: str) -> None:
        """Print a line of the result."""
        print(text, file=self.out, flush=True)

    def json(self, content: object) -> None:
        """Print the one JSON object of `--json`."""
        print(json.dumps(content, indent=2, default=str), file=self.out, flush=True)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, whole: bool = False) -> None:
        """Print a table on stdout, the first column to the left and the others to the right.

        `whole` shortens nothing, however wide that is.
        """
        from rich.console import Console as RichConsole
        from rich.table import Table

        self.result(title)  # not as the table's, which would break it to the table's width
        table = Table()
        for index, name in enumerate(head):
            table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        width = _WHOLE if whole else None if self.out.isatty() else 120
        RichConsole(file=self.out, width=width).print(table, crop=False)

    def text_table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table of sentences: all columns to the left, the last one broken to the width."""
        from rich.console import Console as RichConsole
        from rich.table import Table

        self.result(title)
        table = Table()
        for name in head:
            table.add_column(name, no_wrap=name != head[-1])
        for row in rows:
            table.add_row(*row)
        RichConsole(file=self.out, width=None if self.out.isatty() else 120).print(table)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar with the time left on a terminal, a line now and then elsewhere."""
        if self.quiet:
            with silent_progress(title, total) as advance:
                yield advance
        elif self.err.isatty():
            with self._bar(title, total) as advance:
                yield advance
        else:
            yield _Lines(self, title, total)

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Advance]:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns: Sequence[Any] = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        # What others print must go where open_console sent it, not above the bar.
        with Progress(
            *columns, console=RichConsole(file=self.err), redirect_stdout=False, redirect_stderr=False
        ) as bar:
            task = bar.add_task(title, total=total, text="")

            def advance(count: int, text: str) -> None:
                bar.update(task, advance=count, text=text)

            yield advance


class _Lines:
    """Progress for a log file: a line every `_SECONDS_BETWEEN_LINES` of work, and one at the end."""

    def __init__(self, console: Console, title: str, total: int) -> None:
        self.console, self.title, self.total = console, title, total
        self.done, self.started = 0, time.monotonic()
        self.said = self.started

    def __call__(self, count: int, text: str = "") -> None:
        self.done += count
        now = time.monotonic()
        last = self.done >= self.total and count > 0
        if not last and now - self.said < _SECONDS_BETWEEN_LINES:
            return
        self.said = now
        spent = f"{now - self.started:.0f} s"
        self.console.say(f"{self.title}: {self.done}/{self.total} after {spent} {text}".rstrip())


@contextmanager
def open_console(*, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> Iterator[Console]:
    """Open the console; unless `verbose`, what anything else prints goes to a log file that is removed at the end.

    The file is kept when something unexpected is raised, so that it can be looked into. With `as_json` an
    expected error is printed as the one object on stdout, beside the line on stderr.
    """
    if verbose:
        with _errors_as_json(Console(sys.stdout, sys.stderr, None, quiet, as_json)) as console:
            yield console
        return
    with _muted() as (out, err, log), _errors_as_json(Console(out, err, log, quiet, as_json)) as console:
        yield console


@contextmanager
def _errors_as_json(console: Console) -> Iterator[Console]:
    try:
        yield console
    except AttendcError as e:
        if console.as_json:
            console.json({"error": e.as_json()})
        raise


@contextmanager
def _muted() -> Iterator[tuple[TextIO, TextIO, Path]]:
    """Point the descriptors 1 and 2 to a log file; give the real stdout, the real stderr, and the file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = (os.dup(1), os.dup(2))
    number, name = tempfile.mkstemp(prefix="attendc-", suffix=".log")
    os.dup2(number, 1)
    os.dup2(number, 2)
    os.close(number)
    expected = False
    try:
        with os.fdopen(os.dup(saved[0]), "w") as out, os.fdopen(os.dup(saved[1]), "w") as err:
            try:
                yield out, err, Path(name)
                expected = True
            except (AttendcError, click.ClickException, click.Abort, KeyboardInterrupt):
                expected = True
                raise
            except Exception:
                print(f"the log of the libraries is in {name}", file=err, flush=True)
                raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, descriptor in zip(saved, (1, 2), strict=True):
            os.dup2(stream, descriptor)
            os.close(stream)
        if expected:
            Path(name).unlink(missing_ok=True)
