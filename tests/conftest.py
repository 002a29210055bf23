"""Fixtures of all tests: the built-in data, a small .npz of it, and one thread."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from nets import write_npz

from attendc.data.images import Dataset
from attendc.data.sources import load_dataset

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini() -> Dataset:
    """Return the built-in data set."""
    return load_dataset("fashion-mnist-mini")


@pytest.fixture(scope="session")
def small_npz(mini: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an .npz of 60 training and 20 test images."""
    return write_npz(tmp_path_factory.mktemp("data") / "small.npz", mini)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the log files of failed commands out of the system's temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
