"""What tests of commands ask of their streams and folders, shared by the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["INTERRUPTED", "Ran", "cells", "names", "nothing_left", "told"]

INTERRUPTED = "interrupted: nothing half-written was left behind; the same command again goes on where it stopped"
"""What a command says last after Ctrl-C."""


@dataclass(frozen=True)
class Ran:
    """A recipe that was run, its folder, and the cache that holds its three stages."""

    recipe: Path
    folder: Path
    cache: Path


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line of the error, after what was logged; nothing is on stdout."""
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def nothing_left(output: Path) -> bool:
    """Return whether the folder in which `output` would be is empty."""
    return list(output.parent.iterdir()) == []


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(p.name for p in folder.iterdir())


def cells(text: str) -> list[list[str]]:
    """Return the cells of the rows of tables, without those of their heads."""
    return [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
