"""How designs are judged: rungs, and that the same design gives the same numbers wherever it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from explore.small_study import request

from attendc.context import Context
from attendc.data.images import Dataset, take
from attendc.explore.candidate import Candidate
from attendc.explore.protocol import Protocol, fingerprint, rungs
from attendc.explore.request import prepare


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, ()),  # nothing to stop
        (2, (1,)),
        (4, (2,)),  # 3 of 4 would save little
        (6, (3,)),  # one or two epochs say little of six
        (9, (3,)),
        (20, (3, 9)),
        (27, (3, 9)),  # a ninth and a third: two rungs, three times apart
        (90, (10, 30)),
    ],
)
def test_rungs_are_three_times_apart_and_in_the_first_half(epochs: int, expected: tuple[int, ...]) -> None:
    assert rungs(epochs) == expected


def trained(protocol: Protocol, candidate: Candidate) -> list[tuple[int, float]]:
    told: list[tuple[int, float]] = []
    protocol.train_candidate(candidate, lambda epochs, accuracy: told.append((epochs, accuracy)))
    return told


@pytest.fixture
def protocol(tmp_path: Path, small_npz: Path) -> Protocol:
    return prepare(request(tmp_path, small_npz), Context()).search.protocol


@pytest.fixture
def candidate(tmp_path: Path, small_npz: Path) -> Candidate:
    """Return the first design of the space."""
    search = prepare(request(tmp_path, small_npz), Context()).search
    return search.space.candidate(dict.fromkeys(search.space.dimensions, 0), classes=10, in_channels=1)


def test_the_same_design_reaches_the_same_accuracy_each_time(protocol: Protocol, candidate: Candidate) -> None:
    first = trained(protocol, candidate)
    assert [epochs for epochs, _ in first] == [1, 2, 3]
    assert trained(protocol, candidate) == first
    assert protocol.proxies(candidate) == protocol.proxies(candidate)


def test_accuracy_is_measured_on_training_images_that_nothing_learns_from(
    protocol: Protocol, small_npz: Path, mini: Dataset
) -> None:
    assert (len(protocol.train), len(protocol.held_out)) == (42, 18)  # 30 % of the 60 training images
    learned, kept = (
        {pixels.tobytes() for pixels in images.read(range(len(images)))}
        for images in (protocol.train, protocol.held_out)
    )
    assert not learned & kept


def test_a_fingerprint_tells_labels_pixels_and_numbers_apart(mini: Dataset) -> None:
    some = take(mini.train, range(60))
    same = take(mini.train, range(60))
    assert fingerprint(some) == fingerprint(same)
    others = [take(mini.train, range(1, 61)), take(mini.train, range(59)), take(mini.train, [*range(1, 60), 0])]
    assert len({fingerprint(images) for images in (some, *others)}) == 4
