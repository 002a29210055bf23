"""Image files, or their content, to uint8 pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attendc.errors import DataError

__all__ = ["decoded", "image_suffix"]

_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def decoded(sources: Sequence[Path | bytes], names: Sequence[str], *, hint: str) -> list[NDArray[np.uint8]]:
    """Return the images (H, W, C) of files or of their contents.

    Raises:
        DataError: if one is not an image that can be decoded; it has its name and the hint.
    """
    return [_decode(source, name, hint) for source, name in zip(sources, names, strict=True)]


def image_suffix(content: bytes) -> str:
    """Return `jpg`, `png` or `webp` by what a file begins with; the empty text of any other."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return _SUFFIXES.get(image.format or "", "")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return ""


def _decode(source: Path | bytes, name: str, hint: str) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.mode.startswith("I"):  # 16 bits, which pillow would clip to 255 instead of scaling
                pixels = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            else:
                mode = "L" if image.mode in ("L", "1", "LA") else "RGB"
                pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as e:
        raise DataError(f"image {name} cannot be decoded: {e}", hint=hint) from e
    return pixels[..., None] if pixels.ndim == 2 else pixels
