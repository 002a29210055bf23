"""Fixtures of the tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Ran

from attendc.cli.main import main

RECIPE = """\
version: 1
vars: {{ranges: mse}}
model: {{checkpoint: {checkpoint}, factory: "nets:small"}}
stages:
  - quantize: {{calib: 8, ranges: "${{ranges}}"}}
  - convert: {{to: [onnx], dtypes: [int8]}}
  - verify: {{images: 40, max_drop: 100.0}}
"""


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


@pytest.fixture(scope="session")
def small_recipe(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recipe `small.yaml`: quantize, convert and verify a small net."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE.format(checkpoint=small_checkpoint))
    return path


@pytest.fixture(scope="session")
def ran(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the small recipe after `attendc run`. Copy its folder before changing it."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTENDC_CACHE", str(folder / "cache"))
        assert main(["run", str(small_recipe), f"-o{folder / 'run'}", "-q"]) == 0
    return Ran(small_recipe, folder / "run", folder / "cache")


@pytest.fixture
def prune(output: Path, small_checkpoint: Path, small_npz: Path, temporary: Path) -> Callable[..., int]:
    """Run `attendc prune` of the small net on 60 images without recovery; what is given comes after and wins."""
    always = [f"--data={small_npz}", "--epochs=0", "--batch-size=16", f"-o{output}"]

    def run(*given: str, checkpoint: Path = small_checkpoint, model: str = "--model=nets:small") -> int:
        return main(["prune", str(checkpoint), *always, *([model] if model else []), *given])

    return run
