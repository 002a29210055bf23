"""What tests of shards share: a folder of images, its shards, and shards by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attendc.context import Context
from attendc.data.images import Images
from attendc.jobs.data import ShardRequest, shard_data

__all__ = ["LABELS", "SUFFIXES", "changed_index", "image_folder", "pixels_of", "sharded", "tar"]

LABELS = ("bag", "coat", "shirt")
SUFFIXES = ("png", "jpg", "webp", "bmp")
"""Of the images of `image_folder` in turn; bmp is none that shards hold."""


def image_folder(folder: Path, *, train: int = 8, test: int = 2) -> Path:
    """Write so many images of each class: noise, gray where it is no JPEG, of two sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for label in LABELS:
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                suffix = SUFFIXES[i % len(SUFFIXES)]
                shape = (16, 16, 3) if suffix == "jpg" else (16, 12 + 4 * (i % 2))
                noise = rng.integers(0, 256, shape, np.uint8)
                Image.fromarray(noise).save(folder / split / label / f"{i:02}.{suffix}")
    return folder


def sharded(data: Path | str, output: Path, *, images: int = 5, seed: int = 0) -> Path:
    """Write the shards of a data set, so many images in each."""
    shard_data(ShardRequest(str(data), output, shard_images=images), Context(seed))
    return output


def pixels_of(images: Images) -> list[NDArray[np.uint8]]:
    return images.read(range(len(images)))


def tar(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """Write a tar by hand; `PNG` stands for an image of one pixel."""
    one = io.BytesIO()
    Image.new("L", (1, 1), 7).save(one, "png")
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            data = one.getvalue() if content == "PNG" else content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def changed_index(folder: Path, *, shard: Mapping[str, Any] | None = None, **split: Any) -> None:
    """Change what the index says of the training split and of its first shard."""
    path = folder / "index.json"
    told = json.loads(path.read_text())
    told["splits"]["train"] |= split
    told["splits"]["train"]["shards"][0] |= shard or {}
    path.write_text(json.dumps(told))
