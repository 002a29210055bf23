"""One split of a labelled image set, in memory or decoded from files when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attendc.errors import DataError

__all__ = ["Dataset", "Images", "Shards", "evenly", "images_from_array", "images_from_files", "take"]

Uint8Image = NDArray[np.uint8]
_DECODERS = 4


@dataclass(frozen=True)
class Shards:
    """Where images lie that come a shard at a time, so that those of one shard are best read together.

    Attributes:
        of: int64 (N,), the shard of each image.
        bring: gets a shard, by its number in `of`, to this machine, and waits until it is there.
    """

    of: NDArray[np.int64]
    bring: Callable[[int], None]


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes:
        read: indices -> uint8 images (H, W, C), which need not share a size; several threads may call it at once.
        targets: int64 (N,), the class of each.
        encoded: index -> content of the image file; None: there are none.
        shards: of images that lie elsewhere; None: any order of reading is as good as another.
    """

    read: Callable[[Sequence[int]], list[Uint8Image]]
    targets: NDArray[np.int64]
    encoded: Callable[[int], bytes] | None = None
    shards: Shards | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.targets)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split with a name per class; `name` is what `--data` was given."""

    name: str
    train: Images
    test: Images
    labels: tuple[str, ...]


def images_from_array(pixels: NDArray[np.uint8], targets: NDArray[np.int64]) -> Images:
    """Wrap uint8 (N, H, W) or (N, H, W, C) that is already in memory."""
    stack = pixels[..., None] if pixels.ndim == 3 else pixels
    return Images(lambda indices: [stack[i] for i in indices], targets)


def images_from_files(files: Sequence[Path], targets: NDArray[np.int64]) -> Images:
    """Wrap image files, decoded by a few threads each time they are read.

    Raises:
        DataError: on reading, if a file is not an image that can be decoded; it names the file.
    """

    def read(indices: Sequence[int]) -> list[Uint8Image]:
        with ThreadPoolExecutor(_DECODERS) as pool:
            return list(pool.map(_decode, [files[i] for i in indices]))

    return Images(read, targets)


def take(images: Images, indices: Sequence[int]) -> Images:
    """Return the images at `indices`, in that order."""
    chosen = [int(i) for i in indices]
    encoded, shards = images.encoded, images.shards
    return Images(
        lambda wanted: images.read([chosen[i] for i in wanted]),
        images.targets[chosen],
        encoded and (lambda index: encoded(chosen[index])),
        shards and replace(shards, of=shards.of[chosen]),
    )


def evenly(images: Images, count: int) -> Images:
    """Return `count` images spread evenly over the whole, all of them if there are fewer."""
    if count >= len(images):
        return images
    return take(images, [i * len(images) // count for i in range(count)])


def _decode(file: Path) -> Uint8Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode.startswith("I"):  # 16 bits, which pillow would clip to 255 instead of scaling
                pixels = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            else:
                mode = "L" if image.mode in ("L", "1", "LA") else "RGB"
                pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as e:
        raise DataError(f"image {file} cannot be decoded: {e}", hint="Remove or replace that file") from e
    return pixels[..., None] if pixels.ndim == 2 else pixels
