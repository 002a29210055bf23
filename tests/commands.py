"""What tests of commands ask of their streams and folders, shared by the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["INTERRUPTED", "INTERRUPTED_NET", "Ran", "cells", "importable", "names", "nothing_left", "stopped", "told"]

ROOT = Path(__file__).parent.parent

INTERRUPTED = "interrupted: nothing half-written was left behind; the same command again goes on where it stopped"
"""What a command says last after Ctrl-C."""

INTERRUPTED_NET = """
import signal
from nets import small
from torch import nn

class Net(nn.Sequential):
    '''The small net, interrupted as by Ctrl-C when it is first worked on.'''

    def __init__(self):
        super().__init__(*small("conv_bn_relu"))

    def __deepcopy__(self, memo):
        signal.raise_signal(signal.SIGINT)
"""


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


def importable(monkeypatch: pytest.MonkeyPatch, module: Path, text: str) -> None:
    """Write a module of the user's that this process can import."""
    module.write_text(text)
    monkeypatch.syspath_prepend(module.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def stopped(words: Sequence[str], output: Path, *, at: str, by: signal.Signals) -> tuple[int, str]:
    """Send a signal to `attendc WORDS` at the line of its stderr that begins so; return exit code and last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(output.parent.parent)}
    command = [sys.executable, "-m", "attendc", *words]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith(at) for line in process.stderr)
        process.send_signal(by)
        rest = process.stderr.read().strip().splitlines()
    return process.returncode, rest[-1] if rest else ""


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(p.name for p in folder.iterdir())


def cells(text: str) -> list[list[str]]:
    """Return the cells of the rows of tables, without those of their heads."""
    return [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
