"""What is wrong in a recipe: where, what stands there, what is allowed, and what was probably meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attendc.errors import UsageError

__all__ = ["Fault", "Place", "RecipeError", "closest", "join", "show"]

_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Place:
    """Where a value was written; line 0 where there are no lines, as in `--set`."""

    file: str
    line: int = 0


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        file: as the user named it; `--set ...` where it was given there.
        line: from 1 on; 0 where there are no lines.
        path: in the document, as `stages[1].quantize.bits`; empty for the whole file.
        value: what stands there, cut if it is long; empty where nothing does.
        message: what is allowed.
        suggestion: what was probably meant; empty if nothing is close.
    """

    file: str
    line: int
    path: str
    value: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        parts = (where, self.path, self.value, self.message)
        meant = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        told = ": ".join(part for part in parts if part) + meant
        return "\\n".join(told.splitlines())  # a file's name and a key may hold breaks


class RecipeError(UsageError):
    """A recipe with faults; the message lists all of them, a line each."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Sort them by place, and tell once what several variants share."""
        order = sorted(dict.fromkeys(faults), key=lambda f: (f.file, f.line))
        super().__init__("")
        self.message = "\n".join(map(str, order))  # the one error with a line for each fault
        self.faults = tuple(order)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it: each fault by its parts too."""
        return {**super().as_json(), "faults": [asdict(fault) for fault in self.faults]}


def closest(word: object, known: Iterable[str]) -> str:
    """Return which of `known` is spelled most like `word`; empty if none is."""
    if not isinstance(word, str):
        return ""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:100], by_lower, 3)
    found.sort(key=lambda name: sorted(name) != sorted(word.lower()))  # letters in the wrong order come first
    return by_lower[found[0]] if found else ""


def join(path: str, key: str | int) -> str:
    """Return the path one step further down."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def show(value: object) -> str:
    """Return a value as JSON writes it, in one line, so that "2" and 2 look different."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
