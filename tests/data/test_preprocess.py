"""From uint8 images to the network's input, with every number by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from nets import some
from numpy.typing import NDArray

from attendc.data.images import Dataset, images_from_array
from attendc.data.preprocess import batches, fit_image, fitted, normalise, pixel_statistics, to_input
from attendc.errors import DataError
from attendc.types import Fit, Preprocess

HOW = Preprocess(4, 4, 1, (0.5,), (0.25,), "none")


def how(fit: Fit, height: int, width: int, *, channels: int = 1, crop_ratio: float = 0.875) -> Preprocess:
    return Preprocess(height, width, channels, (0.5,) * channels, (0.25,) * channels, fit, crop_ratio)


def image(*rows: list[int]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)[..., None]


def plain(pixels: NDArray[np.uint8]) -> list[list[int]]:
    return pixels[..., 0].tolist()


# Fit


@pytest.mark.parametrize("fit", ["pad", "resize", "crop", "none"])
def test_an_image_of_the_right_size_is_left_alone(fit: Fit) -> None:
    same = image([1, 2], [3, 4])
    assert np.array_equal(fit_image(same, how(fit, 2, 2)), same)


def test_pad_centres_the_image_on_zeros_and_rounds_up_and_left() -> None:
    # 4 - 1 = 3 rows to add: 1 above, 2 below; 3 - 2 = 1 column: 0 to the left, 1 to the right
    assert plain(fit_image(image([7, 8]), how("pad", 4, 3))) == [[0, 0, 0], [7, 8, 0], [0, 0, 0], [0, 0, 0]]


def test_resize_scales_both_sides_bilinearly() -> None:
    # halving by a triangle filter of width 2: weights 3/7, 3/7, 1/7 at the border
    assert plain(fit_image(image([0, 70, 140, 210]), how("resize", 1, 2))) == [[50, 160]]


def test_resize_changes_the_aspect_if_need_be() -> None:
    scaled = fit_image(np.full((10, 3, 3), 9, np.uint8), how("resize", 4, 4, channels=3))
    assert np.array_equal(scaled, np.full((4, 4, 3), 9))


def test_crop_scales_the_shorter_side_and_cuts_the_centre() -> None:
    wide = np.zeros((8, 24, 1), np.uint8)
    wide[:, 8:16] = 200  # the middle third
    # shorter side to 2 / 0.5 = 4: 8x24 becomes 4x12, whose centre 2x2 lies well inside the middle third
    assert plain(fit_image(wide, how("crop", 2, 2, crop_ratio=0.5))) == [[200, 200], [200, 200]]


def test_crop_keeps_seven_eighths_of_the_shorter_side_by_default() -> None:
    ramp = np.repeat(np.arange(16, dtype=np.uint8)[None, :, None] * 10, 16, axis=0)
    # 14 / 0.875 = 16: no scaling, one pixel is cut on each side
    cut = fit_image(ramp, how("crop", 14, 14))
    assert plain(cut)[0] == [10 * i for i in range(1, 15)]


def test_crop_covers_an_input_that_is_wider_than_the_image() -> None:
    assert fit_image(np.full((30, 10, 1), 9, np.uint8), how("crop", 8, 24)).shape == (8, 24, 1)


@pytest.mark.parametrize(("fit", "height", "width"), [("none", 2, 2), ("none", 8, 8), ("pad", 3, 8), ("pad", 8, 3)])
def test_an_image_that_does_not_fit_is_told_with_both_sizes(fit: Fit, height: int, width: int) -> None:
    text = f"an image of 4x5 does not fit {width}x{height} with fit='{fit}'.*--fit resize"
    with pytest.raises(DataError, match=text):
        fit_image(np.zeros((5, 4, 1), np.uint8), how(fit, height, width))


# Channels


def test_gray_is_repeated_for_a_network_for_colour() -> None:
    stack = fitted([image([1, 2], [3, 4])], how("none", 2, 2, channels=3))
    assert stack.tolist() == [[[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]]]]


def test_colour_is_not_thrown_away_for_a_network_for_gray() -> None:
    with pytest.raises(DataError, match=r"an image has 3 channels, the network takes 1. Convert"):
        fitted([np.zeros((2, 2, 3), np.uint8)], how("none", 2, 2))


def test_images_of_several_sizes_and_channels_make_one_batch() -> None:
    pixels = [np.zeros((3, 5, 3), np.uint8), np.zeros((9, 2, 1), np.uint8)]
    assert fitted(pixels, how("resize", 4, 4, channels=3)).shape == (2, 4, 4, 3)


# Normalisation


def test_normalisation_divides_by_255_subtracts_the_mean_and_divides_by_std() -> None:
    stack = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3, 1)
    # (0 - 0.5) / 0.25, (0.2 - 0.5) / 0.25, (1 - 0.5) / 0.25
    assert torch.allclose(normalise(stack, HOW).flatten(), torch.tensor([-2.0, -1.2, 2.0]))


def test_each_channel_has_its_own_mean_and_std_and_comes_first() -> None:
    three = dataclasses.replace(HOW, channels=3, mean=(0.0, 0.2, 1.0), std=(1.0, 0.5, 0.1))
    x = normalise(torch.full((1, 2, 2, 3), 51, dtype=torch.uint8), three)
    assert (x.shape, x.dtype) == ((1, 3, 2, 2), torch.float32)
    assert torch.allclose(x[0, :, 0, 0], torch.tensor([0.2, 0.0, -8.0]))  # 51 / 255 = 0.2


def test_to_input_fits_and_normalises() -> None:
    x = to_input([image([255, 255])], how("pad", 2, 2))
    assert torch.equal(x, torch.tensor([[[[2.0, 2.0], [-2.0, -2.0]]]]))


# Batches


def test_batches_cover_all_images_once_in_order(mini: Dataset) -> None:
    images = some(mini.test, 1)
    found = list(batches(images, dataclasses.replace(HOW, height=28, width=28), batch_size=4))
    assert [tuple(x.shape) for x, _ in found] == [(4, 1, 28, 28), (4, 1, 28, 28), (2, 1, 28, 28)]
    assert torch.cat([t for _, t in found]).tolist() == list(range(10))


def test_batches_follow_the_indices_they_are_given() -> None:
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1) * np.ones((5, 4, 4), np.uint8)
    images = images_from_array(pixels, np.arange(5))
    ((x, targets),) = batches(images, HOW, batch_size=9, indices=[3, 0])
    assert targets.tolist() == [3, 0]
    assert torch.allclose(x[:, 0, 0, 0], torch.tensor([(3 / 255 - 0.5) / 0.25, -2.0]))


# Statistics


def test_pixel_statistics_are_mean_and_deviation_per_channel() -> None:
    pixels = np.zeros((2, 1, 2, 3), np.uint8)
    pixels[..., 1] = 255
    pixels[0, ..., 2] = 255  # half of the pixels
    mean, std = pixel_statistics(images_from_array(pixels, np.zeros(2, np.int64)), channels=3)
    assert mean == (0.0, 1.0, 0.5)
    assert std[2] == 0.5


def test_pixel_statistics_of_the_built_in_set_are_those_of_fashion_mnist(mini: Dataset) -> None:
    (mean,), (std,) = pixel_statistics(mini.train, channels=1)
    assert (mean, std) == (pytest.approx(0.2860, abs=5e-3), pytest.approx(0.3530, abs=5e-3))  # of all 60,000


def test_pixel_statistics_look_at_no_more_images_than_told() -> None:
    pixels, read = np.zeros((19, 2, 2), np.uint8), []
    images = images_from_array(pixels, np.zeros(19, np.int64))
    counted = dataclasses.replace(images, read=lambda indices: read.extend(indices) or images.read(indices))
    pixel_statistics(counted, channels=1, sample=10)
    assert read == list(range(0, 19, 2))


def test_images_of_one_value_can_still_be_normalised() -> None:
    images = images_from_array(np.full((2, 4, 4), 7, np.uint8), np.zeros(2, np.int64))
    mean, std = pixel_statistics(images, channels=1)
    x = to_input(images.read([0]), dataclasses.replace(HOW, mean=mean, std=std))
    assert torch.isfinite(x).all()
