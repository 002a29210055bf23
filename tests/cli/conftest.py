"""Fixtures of the tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attendc.cli.main import main


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the folder goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "q"


@pytest.fixture
def quantize(output: Path, small_checkpoint: Path, temporary: Path) -> Callable[..., int]:
    """Run `attendc quantize` to the int8 ONNX file of a small net; what is given comes after and wins."""
    small_ = ["--int8", "--to=onnx", "--dtype=int8", "--calib=8", "--images=40", "--max-drop=100", f"-o{output}"]

    def run(*given: str, checkpoint: Path = small_checkpoint, model: str = "--model=nets:small") -> int:
        return main(["quantize", str(checkpoint), *small_, *([model] if model else []), *given])

    return run
