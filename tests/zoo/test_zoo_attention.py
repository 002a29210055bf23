"""Networks with attention that others wrote, to every target in float32 and int8."""

from __future__ import annotations

from pathlib import Path

import pytest
from zoo.architectures import ATTENTION
from zoo.through import check, go_through

from attendc.data.images import Dataset


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENTION)
def test_it_goes_to_every_target(name: str, mini: Dataset, tmp_path: Path) -> None:
    check(ATTENTION[name], go_through(ATTENTION[name], mini, tmp_path))
