"""What tests of inputs and outputs by URI share: a context that remembers, a file, and what is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from attendc.context import Context
from attendc.errors import AttendcError, CheckpointError
from attendc.files import cache_folder
from attendc.locations import fetch

# printf 'the weights' | sha256sum
WEIGHTS = b"the weights"
WEIGHTS_SHA256 = "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5"
OTHER_SHA256 = "0" * 64


@dataclass
class Told:
    """A context, and what it was told."""

    said: list[str] = field(default_factory=list)
    bars: list[tuple[str, int, int]] = field(default_factory=list)  # title, total, done

    @property
    def context(self) -> Context:
        return Context(say=self.said.append, progress=self._progress)

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        done = [0]
        yield lambda count, _: done.__setitem__(0, done[0] + count)
        self.bars.append((title, total, done[0]))


def fetched(location: str, told: Told, sha256: str = "", error: type[AttendcError] = CheckpointError) -> Path:
    return fetch(location, sha256=sha256, error=error, context=told.context)


def in_cache() -> list[str]:
    folder = cache_folder() / "fetched"
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".attendc.json")
