"""The stage `verify`: which images it looks at."""

from __future__ import annotations

from pathlib import Path

import pytest

from attendc.context import Context
from attendc.recipe import ModelSection
from attendc.stages.verify import run
from attendc.stages.verify_config import VerifyConfig
from attendc.stages.work import Work


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "expected"), [(None, 7), (5, 5)])
def test_images_are_those_that_judged_the_steps_before_unless_the_config_says(
    small_folder: Path, tmp_path: Path, asked: int | None, expected: int
) -> None:
    """Pruning may bring a network below the MACs from which fewer images are looked at by default."""
    work = Work(ModelSection(str(small_folder)), facts={"images": 7})
    made = run(VerifyConfig(images=asked, min_agreement=0, max_drop=100), work, tmp_path, Context())
    assert made.told["verification"]["images"] == expected
