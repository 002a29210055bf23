"""Labelled images in memory and in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attendc.data.images import images_from_array, images_from_files, take
from attendc.errors import DataError

TARGETS = np.array([3, 1, 2])


def written(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def decoded(path: Path) -> np.ndarray:
    return images_from_files([path], np.zeros(1, np.int64)).read([0])[0]


def test_there_are_as_many_images_as_targets() -> None:
    assert len(images_from_array(np.zeros((3, 2, 2), np.uint8), TARGETS)) == 3


@pytest.mark.parametrize(("shape", "expected"), [((3, 5, 4), (5, 4, 1)), ((3, 5, 4, 3), (5, 4, 3))])
def test_an_image_has_height_width_channels(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert images_from_array(np.zeros(shape, np.uint8), TARGETS).read([0])[0].shape == expected


def test_images_are_read_in_the_order_of_the_indices() -> None:
    images = images_from_array(np.arange(3, dtype=np.uint8).reshape(3, 1, 1), TARGETS)
    assert [int(p[0, 0, 0]) for p in images.read([2, 0])] == [2, 0]


def test_taking_twice_counts_within_what_was_taken() -> None:
    images = images_from_array(np.arange(3, dtype=np.uint8).reshape(3, 1, 1), TARGETS)
    once = take(images, [2, 0])
    twice = take(once, [1])
    assert once.targets.tolist() == [2, 3]
    assert twice.targets.tolist() == [3]
    assert int(twice.read([0])[0][0, 0, 0]) == 0


def test_many_files_keep_their_order(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{i}.png", Image.fromarray(np.full((2, 2), i, np.uint8))) for i in range(20)]
    images = images_from_files(files, np.arange(20))
    assert [int(p[0, 0, 0]) for p in images.read(range(20))] == list(range(20))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 200, [200]),
        ("1", 1, [255]),
        ("LA", (200, 9), [200]),  # transparency is dropped
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 9), [1, 2, 3]),
        ("I;16", 200 * 256 + 7, [200]),  # the high byte
    ],
)
def test_every_mode_becomes_gray_or_colour(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: list[int]
) -> None:
    path = written(tmp_path / "x.png", Image.new(mode, (2, 3), colour))
    assert decoded(path).shape == (3, 2, len(expected))
    assert decoded(path)[0, 0].tolist() == expected


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"image .*x\.png cannot be decoded: .*Remove or replace that file"):
        decoded(tmp_path / "x.png")


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = written(tmp_path / "x.jpg", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"x\.jpg cannot be decoded: image file is truncated"):
        decoded(path)


def test_a_file_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be decoded: .*No such file"):
        decoded(tmp_path / "gone.png")


def test_an_image_as_large_as_an_attack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # of pillow; refused from twice as many on
    path = written(tmp_path / "x.png", Image.new("L", (5, 5)))
    with pytest.raises(DataError, match=r"x\.png cannot be decoded: Image size \(25 pixels\) exceeds"):
        decoded(path)
