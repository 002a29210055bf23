"""Images that another process opens again, where the first one did."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from nets import write_npz

from attendc.data.images import Dataset, evenly, images_from_array, take
from attendc.data.reopen import described, reopened
from attendc.data.sources import load_dataset
from attendc.errors import DataError, UsageError


def test_images_of_images_are_found_again(small_npz: Path) -> None:
    of_all = load_dataset(str(small_npz), seed=3).train
    some = take(evenly(of_all, 30), [7, 0, 29])  # every second of 60: 14, 0, 58
    sent = pickle.loads(pickle.dumps(described(some)))
    assert sent.origin.indices.tolist() == [14, 0, 58]
    again = reopened(sent)
    assert again.targets.tolist() == some.targets.tolist()
    for mine, first in zip(again.read([0, 1, 2]), some.read([0, 1, 2]), strict=True):
        assert np.array_equal(mine, first)


def test_the_test_split_is_found_again(small_npz: Path) -> None:
    split = load_dataset(str(small_npz)).test
    again = reopened(described(split))
    assert np.array_equal(again.read([19])[0], split.read([19])[0])


def test_images_in_memory_are_known_to_one_process_only() -> None:
    images = images_from_array(np.zeros((4, 2, 2), np.uint8), np.zeros(4, np.int64))
    with pytest.raises(UsageError, match=r"4 images are in the memory of one process, .*attendc\.load_dataset"):
        described(images)


@pytest.mark.parametrize("fewer", [59, 5])
def test_other_data_at_the_same_place_is_refused(mini: Dataset, tmp_path: Path, fewer: int) -> None:
    path = write_npz(tmp_path / "here.npz", mini, train=6)
    sent = described(take(load_dataset(str(path)).train, range(1, 60)))
    away = write_npz(tmp_path / "there.npz", mini, train=fewer)
    moved = dataclasses.replace(sent, origin=dataclasses.replace(sent.origin, data=str(away)))
    with pytest.raises(DataError, match=r"here is not that of the first process\. Give every computer a copy"):
        reopened(moved)
