"""Shards of any data set: webdataset's tars of mixed images, and the index beside them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attendc.context import Advance, Context
from attendc.data.decode import image_suffix
from attendc.data.images import Dataset, Images
from attendc.data.prefetch import prefetched
from attendc.data.shard_index import INDEX, ShardIndex, Split, write_index
from attendc.data.shard_tar import scanned
from attendc.data.shards import check_classes

__all__ = ["write_shards"]

Sample = dict[str, str | bytes]

_SEEDS = {"train": 0x7EA1, "test": 0x7E57}


def write_shards(dataset: Dataset, folder: Path, context: Context, *, most_bytes: int, most_images: int) -> ShardIndex:
    """Write the shards of both splits and their index into an empty folder.

    Images are dealt to the shards in an order drawn by the seed, so that each shard is a sample of the whole; the index
    keeps the order of the data set. JPEG, PNG and WebP files go in as they are, all else as PNG, so that the pixels are
    the same. The same data, sizes and seed give the same bytes. A shard is closed at `most_images`, or at `most_bytes`
    of images.

    Raises:
        DataError: if a class has no training images, or an image cannot be read.
    """
    check_classes(dataset.train.targets, dataset.labels, dataset.name)
    splits = {"train": dataset.train, "test": dataset.test}
    index: dict[str, Split] = {}
    with context.progress("writing shards", sum(map(len, splits.values()))) as advance:
        for name, images in splits.items():
            order = np.random.default_rng([context.seed, _SEEDS[name]]).permutation(len(images))
            paths = _write_split(images, order, folder, name, (most_bytes, most_images), advance)
            index[name] = Split(tuple(scanned(path) for path in paths), np.argsort(order))
    whole = ShardIndex(dataset.labels, index)
    write_index(folder / INDEX, whole)
    return whole


def _write_split(
    images: Images, order: NDArray[np.int64], folder: Path, name: str, most: tuple[int, int], advance: Advance
) -> list[Path]:
    """Write the images in that order, and return the tars."""
    paths: list[Path] = []
    with closing(prefetched(lambda i: _sample(images, i), order.tolist())) as samples:
        left = next(samples, None)
        while left is not None:
            paths.append(folder / f"{name}-{len(paths):06}.tar")
            left = _write_tar(paths[-1], left, samples, most, advance)
    return paths


def _write_tar(
    path: Path, sample: Sample | None, samples: Iterator[Sample], most: tuple[int, int], advance: Advance
) -> Sample | None:
    """Write `sample` and those after it until the shard is full, and return the first that found no place."""
    from webdataset import TarWriter  # type: ignore[import-untyped] # it loads torch

    most_bytes, most_images = most
    written, count = 0, 0
    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0, user="", group="") as writer:
        while sample is not None and written < most_bytes and count < most_images:
            written, count = written + writer.write(sample), count + 1
            advance(1, path.name)
            sample = next(samples, None)
    return sample


def _sample(images: Images, index: int) -> Sample:
    """Return what webdataset writes of one image."""
    content = images.encoded(index) if images.encoded is not None else b""
    suffix = image_suffix(content) if content else ""
    if not suffix:
        content, suffix = _png(images.read([index])[0]), "png"
    return {"__key__": f"{index:09}", suffix: content, "cls": str(images.targets[index]).encode()}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(content, "png")
    return content.getvalue()
