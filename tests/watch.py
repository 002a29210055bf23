"""What kills a training where it is told to, and keeps what happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendc.context import Advance, Context

__all__ = ["NEVER", "Watch"]

NEVER = 10**9


class Watch:
    """Counts training steps, kills the run after one of them, and keeps what was said."""

    def __init__(self, folder: Path | None, *, after: int = NEVER, at_epoch: int = 0, at_close: bool = False) -> None:
        """Kill after so many steps, or when that epoch has been measured, or when training is done and saved."""
        self.steps, self.begun, self.said = 0, [], []  # type: int, list[int], list[str]
        self.after, self.at_epoch, self.at_close = after, at_epoch, at_close
        self.context = Context(progress=self.progress, say=self.say, resume_folder=folder)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        def advance(count: int, text: str) -> None:
            if title != "train":
                return
            if not text:
                self.begun.append(count)  # where training goes on from
                return
            self.steps += count
            if self.steps == self.after:
                raise KeyboardInterrupt

        yield advance
        if title == "train" and self.at_close:
            raise KeyboardInterrupt

    def say(self, text: str) -> None:
        self.said.append(text)
        if text.startswith(f"epoch {self.at_epoch}:"):
            raise KeyboardInterrupt
