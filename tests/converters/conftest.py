"""What the tests of SavedModels share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from nets import STAMP, Built

from attendc.converters.to_savedmodel import write_savedmodel


@pytest.fixture(scope="session")
def savedmodels(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the SavedModels of the mixed net by the names that verification gives them. Copy one to change it."""
    folder = tmp_path_factory.mktemp("savedmodels")
    paths = {n: folder / n for n in ("savedmodel", "savedmodel_float32")}
    write_savedmodel(paths["savedmodel"], built.quantized, STAMP)
    as_float = dataclasses.replace(STAMP, dtype="float32", calibration="")
    write_savedmodel(paths["savedmodel_float32"], built.floating, as_float)
    return paths
