"""From uint8 images to the network's input, by the Spec alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attendc.data.images import Images, images_from_array, within_reach
from attendc.data.prefetch import prefetched
from attendc.errors import DataError
from attendc.types import Fit, Preprocess

__all__ = ["batches", "fit_image", "fitted", "normalise", "pixel_statistics", "random_images", "suited", "to_input"]

_SMALLEST_STD = 1 / 255
"""One step of a pixel, so that images of one value can be normalised too."""
_AT_ONCE = 50
_READERS = 4
_PAD_UP_TO = 4 / 3
"""Images are padded up to the network's size if it is at most so many times theirs, and scaled beyond."""


def to_input(pixels: Sequence[NDArray[np.uint8]], how: Preprocess) -> Tensor:
    """Return float32 (N, C, H, W), normalised, from uint8 images (H, W, C).

    Raises:
        DataError: if an image does not fit and `how.fit` does not say how to make it fit.
    """
    return normalise(fitted(pixels, how), how)


def fitted(pixels: Sequence[NDArray[np.uint8]], how: Preprocess) -> Tensor:
    """Return uint8 (N, H, W, C) of the size and the channels that `how` asks for."""
    if len({image.shape for image in pixels}) == 1:
        stack = _to_channels(np.stack(pixels), how.channels)
        if how.fit == "pad" or stack.shape[1:3] == (how.height, how.width):
            return torch.from_numpy(fit_image(stack, how))  # all at once
        return torch.from_numpy(np.stack([fit_image(image, how) for image in stack]))
    return torch.from_numpy(np.stack([fit_image(_to_channels(image, how.channels), how) for image in pixels]))


def normalise(stack: Tensor, how: Preprocess) -> Tensor:
    """Return float32 (N, C, H, W) from uint8 (N, H, W, C)."""
    mean, std = torch.tensor(how.mean), torch.tensor(how.std)
    x = (stack.to(torch.float32) / 255.0 - mean) / std
    return x.permute(0, 3, 1, 2).contiguous()


def batches(
    images: Images, how: Preprocess, *, batch_size: int, indices: Sequence[int] | None = None
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield (input (N, C, H, W), targets (N,)) in the order of `indices`, or of the images, read ahead by threads."""
    order = range(len(images)) if indices is None else indices

    def read(start: int) -> tuple[Tensor, Tensor]:
        chosen = [int(i) for i in order[start : start + batch_size]]
        return fitted(images.read(chosen), how), torch.from_numpy(images.targets[chosen])

    with closing(prefetched(read, range(0, len(order), batch_size), workers=_READERS)) as stacks:
        for stack, targets in stacks:
            yield normalise(stack, how), targets


def fit_image(image: NDArray[np.uint8], how: Preprocess) -> NDArray[np.uint8]:
    """Return the image (H, W, C) brought to the size of `how` by its `fit`; a stack (N, H, W, C) may be padded too."""
    height, width = image.shape[-3:-1]
    wanted = (how.height, how.width)
    if (height, width) == wanted:
        return image
    if how.fit == "resize":
        return _scaled(image, wanted)
    if how.fit == "crop":
        return _centre_crop(image, how)
    if how.fit == "pad" and height <= how.height and width <= how.width:
        top, left = (how.height - height) // 2, (how.width - width) // 2
        padded = np.zeros((*image.shape[:-3], *wanted, image.shape[-1]), np.uint8)
        padded[..., top : top + height, left : left + width, :] = image
        return padded
    raise DataError(
        f"an image of {width}x{height} does not fit {how.width}x{how.height} with fit={how.fit!r}",
        hint="Resize the images, or train with --fit resize",
    )


def random_images(how: Preprocess, count: int) -> Images:
    """Return noise of the right shape, all of class 0: for studies of cost, where no data is at hand."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, how.height, how.width, how.channels), dtype=np.uint8)
    return images_from_array(pixels, np.zeros(count, np.int64))


def pixel_statistics(
    images: Images, *, channels: int, sample: int = 2000
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (mean, std) per channel in units of 0..1, over at most `sample` evenly spaced images.

    Of images that lie elsewhere those of a few shards are taken.
    """
    among = within_reach(images, sample)
    indices = range(0, among, max(1, math.ceil(among / sample)))
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)

    def read(start: int) -> list[NDArray[np.uint8]]:
        return images.read(indices[start : start + _AT_ONCE])

    with closing(prefetched(read, range(0, len(indices), _AT_ONCE), workers=_READERS)) as chunks:
        for pixels in itertools.chain.from_iterable(chunks):
            flat = _to_channels(pixels, channels).reshape(-1, channels).astype(np.int64)
            count += len(flat)
            total += flat.sum(0)
            squares += (flat**2).sum(0)
    mean = total / count / 255.0
    std = np.sqrt(np.maximum(squares / count / 255.0**2 - mean**2, _SMALLEST_STD**2))
    return tuple(map(float, mean.round(4))), tuple(map(float, std.round(4)))


def suited(images: Images, channels: int, height: int, width: int) -> Preprocess:
    """Return the preprocessing for a network that will be trained on these images at that size."""
    mean, std = pixel_statistics(images, channels=channels)
    rows, columns = images.read([0])[0].shape[:2]
    near = height <= rows * _PAD_UP_TO and width <= columns * _PAD_UP_TO
    fit: Fit = "pad" if near and height >= rows and width >= columns else "resize"
    return Preprocess(height, width, channels, mean, std, fit)


def _to_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return the image with `channels`; one channel is repeated, colour is never thrown away."""
    if image.shape[-1] == channels:
        return image
    if image.shape[-1] == 1:
        return np.repeat(image, channels, axis=-1)
    raise DataError(
        f"an image has {image.shape[-1]} channels, the network takes {channels}",
        hint="Convert the images to grayscale, or use a network for colour",
    )


def _scaled(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    flat = image[..., 0] if image.shape[2] == 1 else image
    scaled = Image.fromarray(flat).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _centre_crop(image: NDArray[np.uint8], how: Preprocess) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    shorter = min(how.height, how.width) / how.crop_ratio
    ratio = max(shorter / min(height, width), how.height / height, how.width / width)
    image = _scaled(image, (max(how.height, round(height * ratio)), max(how.width, round(width * ratio))))
    top, left = (image.shape[0] - how.height) // 2, (image.shape[1] - how.width) // 2
    return image[top : top + how.height, left : left + how.width]
