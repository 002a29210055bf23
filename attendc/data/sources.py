"""What `--data` takes: a built-in set, a folder of idx files, a folder of images, shards, or an .npz.

Rules, in order:
1. a name in `BUILT_IN`;
2. a folder with `train-images-idx3-ubyte[.gz]`: the idx layout of MNIST and Fashion-MNIST;
3. a folder with `train/` and `val/` (or `test/`), each with a subfolder per class;
4. a folder with a subfolder per class: a fifth of each class, drawn by the seed, becomes the test split;
5. an .npz with `train_images`, `train_labels`, `test_images`, `test_labels`, or only `images` and `labels`
   (split like 4), and optionally `label_names`;
6. shards of webdataset with their index, here or at a URI: see `attendc.data.shards`;
7. the URI of one of the others, which is fetched.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attendc.context import Context
from attendc.data.built_in import BUILT_IN
from attendc.data.images import Dataset, Images, Origin, images_from_array, images_from_files, take
from attendc.data.order import shuffled
from attendc.data.shards import load_shards, shards_at
from attendc.errors import DataError
from attendc.locations import fetch, is_uri

__all__ = ["label_names", "load_dataset", "read_idx", "write_idx"]

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
TEST_PART = 0.2
_IDX_UINT8 = 0x08


def load_dataset(name: str, *, seed: int = 0) -> Dataset:
    """Open the data set that `--data NAME` means; `seed` draws the split where the data has none.

    Raises:
        DataError: if nothing is there, nothing in it is an image, or a file is corrupt.
    """
    found = _opened(name, seed)
    return replace(
        found,
        train=replace(found.train, origin=Origin(name, seed, "train")),
        test=replace(found.test, origin=Origin(name, seed, "test")),
    )


def _opened(name: str, seed: int) -> Dataset:
    shards = None if name in BUILT_IN else shards_at(name)
    if shards is not None:
        train, test, labels = load_shards(name, shards)
        return Dataset(name, *((train, test) if test is not None else _split(train, seed)), labels)
    path = BUILT_IN.get(name) or _local(name)
    if not path.exists():
        raise DataError(
            f"no data at {name!r}",
            hint=f"Give a folder, an .npz, shards, or one of: {', '.join(BUILT_IN)}",
        )
    if path.is_file():
        if path.suffix != ".npz":
            raise DataError(f"{path} is not a data set", hint="Give an .npz file or a folder")
        return _load_npz(name, path, seed)
    if _idx_file(path, "train-images-idx3-ubyte") is not None:
        return _load_idx_folder(name, path)
    return _load_image_folder(name, path, seed)


def _local(name: str) -> Path:
    """Return the path that is meant; what a URI names is fetched, or taken from the cache as it was fetched before."""
    return fetch(name, error=DataError, context=Context()) if is_uri(name) else Path(name)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one idx file of unsigned bytes, gzipped or not.

    Source: yann.lecun.com/exdb/mnist, "the IDX file format": magic 0, 0, type, rank; big-endian sizes; data.

    Raises:
        DataError: if it is truncated, no idx file, or not of unsigned bytes.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as e:
        raise DataError(f"{path} cannot be read: {e}", hint="Copy the file again") from e
    if len(raw) < 4 or raw[:3] != bytes([0, 0, _IDX_UINT8]):
        raise DataError(f"{path} is not an idx file of unsigned bytes (starts {raw[:4].hex()})")
    rank = raw[3]
    shape = struct.unpack_from(f">{rank}I", raw, 4) if len(raw) >= 4 + 4 * rank else (0,)
    expected = 4 + 4 * rank + int(np.prod(shape))
    if len(raw) != expected:
        raise DataError(f"{path} has {len(raw)} bytes where {expected} are due", hint="Copy the file again")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write `array` as gzipped idx, with no time stamp so that the same array gives the same bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _IDX_UINT8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


def _idx_file(folder: Path, stem: str) -> Path | None:
    return next((p for p in (folder / stem, folder / f"{stem}.gz") if p.exists()), None)


def _load_idx_folder(name: str, folder: Path) -> Dataset:
    splits = []
    for part in ("train", "t10k"):
        files = [_idx_file(folder, f"{part}-{k}") for k in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        if files[0] is None or files[1] is None:
            raise DataError(
                f"{folder} has no pair {part}-images-idx3-ubyte and {part}-labels-idx1-ubyte",
                hint="An idx folder holds four files, gzipped or not",
            )
        splits.append(_checked(read_idx(files[0]), read_idx(files[1]), str(files[0])))
    count = 1 + max(int(s.targets.max()) for s in splits)
    return Dataset(name, splits[0], splits[1], _label_names(folder, count))


def _label_names(folder: Path, count: int) -> tuple[str, ...]:
    """Return the lines of `labels.txt`, or the digits of the classes where there is none."""
    file = folder / "labels.txt"
    return label_names(file, count) if file.exists() else tuple(str(i) for i in range(count))


def label_names(file: Path, count: int) -> tuple[str, ...]:
    """Return the lines of a file, of which there must be `count` at least.

    Raises:
        DataError: if there are fewer, or it cannot be read.
    """
    try:
        names = tuple(file.read_text(encoding="utf-8").rstrip().splitlines())
    except UnicodeDecodeError as e:
        raise DataError(f"{file} is not UTF-8: {e}", hint="Save it as UTF-8 text, a name a line") from e
    except OSError as e:
        raise DataError(f"{file} cannot be read: {e.strerror}", hint="Check the path") from e
    if len(names) < count:
        raise DataError(f"{file} names {len(names)} classes, the data has {count}")
    return names


def _checked(pixels: NDArray[np.uint8], targets: NDArray[np.generic], where: str) -> Images:
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise DataError(
            f"images of {where} are {pixels.dtype} of rank {pixels.ndim}",
            hint="They must be uint8 (N, H, W) or (N, H, W, C)",
        )
    if pixels.ndim == 4 and pixels.shape[3] not in (1, 3):
        raise DataError(f"images of {where} have {pixels.shape[3]} channels; 1 or 3 are expected")
    if len(pixels) == 0 or targets.shape != (len(pixels),):
        raise DataError(f"{where} has {len(pixels)} images and labels of shape {targets.shape}")
    if not np.issubdtype(targets.dtype, np.integer) or int(targets.min()) < 0:
        raise DataError(f"labels of {where} must be integers from 0, not {targets.dtype}")
    return images_from_array(pixels, targets.astype(np.int64))


def _load_npz(name: str, path: Path, seed: int) -> Dataset:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a readable .npz: it is no zip", hint="Save it again")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as e:
        raise DataError(f"{path} is not a readable .npz: {e}", hint="Save it again") from e
    names = tuple(str(n) for n in arrays.get("label_names", ()))
    if {"train_images", "train_labels", "test_images", "test_labels"} <= arrays.keys():
        train, test = (
            _checked(arrays[f"{s}_images"], arrays[f"{s}_labels"], f"{path}:{s}_images") for s in ("train", "test")
        )
    elif {"images", "labels"} <= arrays.keys():
        whole = _checked(arrays["images"], arrays["labels"], f"{path}:images")
        train, test = _split(whole, seed)
    else:
        raise DataError(
            f"{path} holds {sorted(arrays)}",
            hint="Expected images and labels, or train_images, train_labels, test_images, test_labels",
        )
    count = 1 + int(max(train.targets.max(), test.targets.max()))
    if names and len(names) < count:
        raise DataError(f"{path} names {len(names)} classes in label_names, the labels have {count}")
    return Dataset(name, train, test, names or tuple(str(i) for i in range(count)))


def _load_image_folder(name: str, folder: Path, seed: int) -> Dataset:
    held_out = next((s for s in ("val", "test") if (folder / s).is_dir()), None)
    if (folder / "train").is_dir() and held_out is not None:
        labels = _class_names(folder / "train")
        train = _folder_split(folder / "train", labels)
        return Dataset(name, train, _folder_split(folder / held_out, labels), labels)
    if (folder / "train").is_dir() and _subfolders(folder / "train"):
        raise DataError(
            f"{folder} has train/ but neither val/ nor test/",
            hint=f"Add FOLDER/val/CLASS/IMAGE, or give {folder / 'train'} to have a fifth split off",
        )
    labels = _class_names(folder)
    train, test = _split(_folder_split(folder, labels), seed)
    return Dataset(name, train, test, labels)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = _subfolders(folder)
    if not names:
        raise DataError(
            f"{folder} has no subfolder per class and no idx files",
            hint="Expected FOLDER/train/CLASS/IMAGE and FOLDER/val/CLASS/IMAGE, or FOLDER/CLASS/IMAGE",
        )
    return names


def _subfolders(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in it, but of hidden ones (.ipynb_checkpoints, .git)."""
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _folder_split(folder: Path, labels: tuple[str, ...]) -> Images:
    files: list[Path] = []
    targets: list[int] = []
    unknown = set(_subfolders(folder)) - set(labels)
    if unknown:
        raise DataError(f"{folder} has classes that train/ lacks: {', '.join(sorted(unknown))}")
    for index, label in enumerate(labels):
        found = sorted(p for p in (folder / label).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        files += found
        targets += [index] * len(found)
    if not files:
        raise DataError(
            f"{folder} holds no images",
            hint=f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return images_from_files(files, np.asarray(targets, np.int64))


def _split(images: Images, seed: int) -> tuple[Images, Images]:
    """Return (train, test): `TEST_PART` of each class, at least one image, or of the shards goes to the test split."""
    rng = np.random.default_rng(seed)
    if images.shards is not None and len(images) > 1:  # whole shards, so that test images need none of the others
        order, cut = shuffled(images, rng, mixed=1), max(1, round(len(images) * TEST_PART))
        return take(images, order[cut:].tolist()), take(images, order[:cut].tolist())
    train: list[int] = []
    test: list[int] = []
    for target in np.unique(images.targets):
        members = rng.permutation(np.flatnonzero(images.targets == target))
        cut = max(1, round(len(members) * TEST_PART))
        test += [int(i) for i in members[:cut]]
        train += [int(i) for i in members[cut:]]
    if not train:
        raise DataError(
            f"{len(images)} images cannot be split into training and test images",
            hint="Give at least two images of some class, or folders train/ and val/",
        )
    return take(images, sorted(train)), take(images, sorted(test))
