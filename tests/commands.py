"""What tests of commands ask of their streams and folders, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["INTERRUPTED", "nothing_left", "told"]

INTERRUPTED = "interrupted: nothing half-written was left behind; the same command again goes on where it stopped"
"""What a command says last after Ctrl-C."""


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line of the error, after what was logged; nothing is on stdout."""
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def nothing_left(output: Path) -> bool:
    """Return whether the folder in which `output` would be is empty."""
    return list(output.parent.iterdir()) == []
