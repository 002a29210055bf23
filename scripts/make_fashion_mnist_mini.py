"""Make the built-in data set from the full one: the first images of every class, in their old order.

    python scripts/make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist

The full set is Debian's package dataset-fashion-mnist, version 0.0~git20200523. Running this again gives the
same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from attendc.data.sources import BUILT_IN, read_idx, write_idx

IMAGES = {"train": 10_000, "t10k": 2_000}


def main(source: Path) -> None:
    """Write both splits, balanced over the classes."""
    target = BUILT_IN["fashion-mnist-mini"]
    for part, count in IMAGES.items():
        pixels = read_idx(source / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{part}-labels-idx1-ubyte.gz")
        classes = np.unique(labels)
        each = count // len(classes)
        chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:each] for c in classes]))
        write_idx(target / f"{part}-images-idx3-ubyte.gz", pixels[chosen])
        write_idx(target / f"{part}-labels-idx1-ubyte.gz", labels[chosen])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
