"""What `--data` takes, and what it says about data that it cannot take."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import arrays
from numpy.typing import NDArray
from PIL import Image

from attendc.data.built_in import BUILT_IN
from attendc.data.images import Dataset, Images
from attendc.data.sources import load_dataset, read_idx, write_idx
from attendc.errors import DataError

GRAY = np.arange(10 * 4 * 4, dtype=np.uint8).reshape(10, 4, 4)
TWO_CLASSES = np.array([0, 1] * 5)
IDX_NAMES = [f"{p}-{k}" for p in ("train", "t10k") for k in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def image_folder(folder: Path, counts: dict[str, int]) -> Path:
    """Write so many images under each name; every image is of one value of its own."""
    value = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((4, 4), value, np.uint8)).save(folder / name / f"{i:02}.png")
            value += 1
    return folder


def values(images: Images) -> list[int]:
    return [int(pixels[0, 0, 0]) for pixels in images.read(range(len(images)))]


def npz(path: Path, **content: Any) -> str:
    np.savez(path, **content)
    return str(path)


def idx_folder(folder: Path, **changed: NDArray[np.uint8] | None) -> Path:
    """Write an idx folder of 10 training and 10 test images; `changed` replaces or leaves out a file."""
    folder.mkdir(exist_ok=True)
    for name in IDX_NAMES:
        array = GRAY if "images" in name else TWO_CLASSES.astype(np.uint8)
        given = changed.get(name.partition("-idx")[0].replace("-", "_"), array)
        if given is not None:
            write_idx(folder / f"{name}.gz", given)
    return folder


# idx files


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (2, 3, 4, 3)])
def test_idx_comes_back_as_it_was_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_idx(tmp_path / "x.gz", array)
    assert np.array_equal(read_idx(tmp_path / "x.gz"), array)


def test_idx_is_read_byte_for_byte_as_its_definition_says(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert read_idx(tmp_path / "x").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_same_array_gives_the_same_idx_bytes(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", GRAY)
    write_idx(tmp_path / "b.gz", GRAY)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"is not an idx file of unsigned bytes \(starts \)"),
        (b"\x89PNG", r"is not an idx file of unsigned bytes \(starts 89504e47\)"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "is not an idx file of unsigned bytes"),  # 0x0D: float32
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), "has 10 bytes where 11 are due"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), "has 10 bytes where 9 are due"),
        (bytes([0, 0, 8, 3, 0, 0]), "has 6 bytes where 16 are due"),
    ],
)
def test_a_bad_idx_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(DataError, match=f"images {text}"):
        read_idx(tmp_path / "images")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no gzip"])
def test_a_damaged_gzip_is_named(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 100]) + bytes(range(100)))
    broken = {
        "truncated": whole[:-20],
        "flipped": whole[:40] + bytes([whole[40] ^ 255]) + whole[41:],
        "no gzip": b"once upon a time",
    }
    (tmp_path / "x.gz").write_bytes(broken[damage])
    with pytest.raises(DataError, match=r"x\.gz cannot be read: .*Copy the file again"):
        read_idx(tmp_path / "x.gz")


# The built-in set


def test_the_built_in_set_is_balanced(mini: Dataset) -> None:
    assert np.bincount(mini.train.targets).tolist() == [1000] * 10
    assert np.bincount(mini.test.targets).tolist() == [200] * 10


def test_the_built_in_images_are_gray_28x28(mini: Dataset) -> None:
    for split in (mini.train, mini.test):
        pixels = np.stack(split.read(range(0, len(split), 97)))
        assert pixels.shape[1:] == (28, 28, 1)
        assert pixels.dtype == np.uint8


def test_the_built_in_set_names_its_classes(mini: Dataset) -> None:
    assert len(set(mini.labels)) == 10
    assert (mini.labels[1], mini.labels[9]) == ("Trouser", "Ankle boot")


def test_no_built_in_test_image_is_a_training_image(mini: Dataset) -> None:
    train, test = ({p.tobytes() for p in s.read(range(len(s)))} for s in (mini.train, mini.test))
    assert not train & test


def test_the_built_in_set_fits_into_a_wheel() -> None:
    folder = BUILT_IN["fashion-mnist-mini"]
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8_000_000


# idx folders


def test_an_idx_folder_without_names_has_digits_for_labels(tmp_path: Path) -> None:
    dataset = load_dataset(str(idx_folder(tmp_path)))
    assert dataset.labels == ("0", "1")
    assert (len(dataset.train), len(dataset.test)) == (10, 10)
    assert np.array_equal(arrays(dataset.train)[0], GRAY)


@pytest.mark.parametrize("text", ["cat\ndog\n", "cat\ndog", "cat\r\ndog\r\n", "cat\ndog\n\n"])
def test_labels_are_the_lines_of_the_label_file(tmp_path: Path, text: str) -> None:
    (idx_folder(tmp_path) / "labels.txt").write_bytes(text.encode())
    assert load_dataset(str(tmp_path)).labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"cat\n", r"names 1 classes, the data has 2"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_label_file_that_does_not_fit_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    (idx_folder(tmp_path) / "labels.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.txt {expected}"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize("missing", ["train_labels", "t10k_images", "t10k_labels"])
def test_an_idx_folder_lacking_a_file_names_the_pair(tmp_path: Path, missing: str) -> None:
    part = missing.partition("_")[0]
    with pytest.raises(DataError, match=f"has no pair {part}-images-idx3-ubyte and {part}-labels"):
        load_dataset(str(idx_folder(tmp_path, **{missing: None})))


def test_labels_that_are_not_one_per_image_are_counted(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path, train_labels=np.zeros(9, np.uint8))
    with pytest.raises(DataError, match=r"has 10 images and labels of shape \(9,\)"):
        load_dataset(str(folder))


# Image folders


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_train_and_held_out_folders_are_taken_as_they_are(tmp_path: Path, held_out: str) -> None:
    folder = image_folder(tmp_path, {"train/cat": 3, "train/dog": 2, f"{held_out}/cat": 1, f"{held_out}/dog": 1})
    dataset = load_dataset(str(folder))
    assert dataset.labels == ("cat", "dog")
    assert (values(dataset.train), dataset.train.targets.tolist()) == ([0, 1, 2, 3, 4], [0, 0, 0, 1, 1])
    assert (values(dataset.test), dataset.test.targets.tolist()) == ([5, 6], [0, 1])


def test_a_fifth_of_each_class_is_split_off(tmp_path: Path) -> None:
    dataset = load_dataset(str(image_folder(tmp_path, {"cat": 10, "dog": 20, "owl": 2})))
    assert np.bincount(dataset.test.targets).tolist() == [2, 4, 1]  # at least one
    assert np.bincount(dataset.train.targets).tolist() == [8, 16, 1]


def test_the_splits_are_disjoint_and_complete(tmp_path: Path) -> None:
    dataset = load_dataset(str(image_folder(tmp_path, {"cat": 10, "dog": 20})))
    assert sorted(values(dataset.train) + values(dataset.test)) == list(range(30))


def test_the_seed_draws_the_split(tmp_path: Path) -> None:
    name = str(image_folder(tmp_path, {"cat": 10, "dog": 20}))
    first, again, other = (values(load_dataset(name, seed=s).test) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_targets_stay_with_their_images_through_the_split(tmp_path: Path) -> None:
    dataset = load_dataset(str(image_folder(tmp_path, {"cat": 10, "dog": 20})))
    for split in (dataset.train, dataset.test):
        assert split.targets.tolist() == [int(v >= 10) for v in values(split)]


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"cat": 2, "dog": 2})
    (folder / ".ipynb_checkpoints").mkdir()
    assert load_dataset(str(folder)).labels == ("cat", "dog")


def test_files_that_are_no_images_are_left_aside(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"cat": 2, "dog": 2})
    (folder / "cat" / "notes.txt").write_text("nice cats")
    assert len(load_dataset(str(folder)).train.targets) == 2


def test_train_without_a_held_out_folder_is_not_taken_for_a_class(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"train/cat": 2, "train/dog": 2})
    with pytest.raises(DataError, match="has train/ but neither val/ nor test/"):
        load_dataset(str(folder))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load_dataset(str(image_folder(tmp_path, {"plane": 2, "train": 2}))).labels == ("plane", "train")


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "has no subfolder per class and no idx files"),
        ({"cat": 0}, "holds no images. Images end in .bmp"),
        ({"cat": 1}, "1 images cannot be split"),
        ({"train/cat": 1, "val/dog": 1}, "val has classes that train/ lacks: dog"),
        ({"train/cat": 1, "val/cat": 0}, "val holds no images"),
    ],
)
def test_a_folder_without_usable_images_says_why(tmp_path: Path, counts: dict[str, int], text: str) -> None:
    with pytest.raises(DataError, match=text):
        load_dataset(str(image_folder(tmp_path, counts)))


def test_a_corrupt_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"train/cat": 2, "val/cat": 1})
    file = folder / "train" / "cat" / "01.png"
    file.write_bytes(file.read_bytes()[:40])
    dataset = load_dataset(str(folder))
    assert values(dataset.test) == [2]
    with pytest.raises(DataError, match=rf"image {re.escape(str(file))} cannot be decoded.*Remove or replace"):
        dataset.train.read([0, 1])


# .npz


def test_an_npz_with_both_splits_is_taken_as_it_is(tmp_path: Path) -> None:
    name = npz(
        tmp_path / "x.npz",
        train_images=GRAY[:6],
        train_labels=TWO_CLASSES[:6],
        test_images=GRAY[6:],
        test_labels=TWO_CLASSES[6:],
        label_names=np.array(["cat", "dog"]),
    )
    dataset = load_dataset(name)
    assert np.array_equal(arrays(dataset.train)[0], GRAY[:6])
    assert dataset.test.targets.tolist() == [0, 1, 0, 1]
    assert (dataset.name, dataset.labels) == (name, ("cat", "dog"))


def test_an_npz_with_one_set_is_split_by_the_seed(tmp_path: Path) -> None:
    name = npz(tmp_path / "x.npz", images=GRAY, labels=TWO_CLASSES)
    dataset = load_dataset(name)
    assert np.bincount(dataset.test.targets).tolist() == [1, 1]  # a fifth of 5 each
    assert len(dataset.train) == 8
    assert dataset.labels == ("0", "1")


def test_an_npz_may_hold_colour_images(tmp_path: Path) -> None:
    colour = np.zeros((10, 4, 4, 3), np.uint8)
    dataset = load_dataset(npz(tmp_path / "x.npz", images=colour, labels=TWO_CLASSES))
    assert dataset.train.read([0])[0].shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"images": GRAY.astype(np.float32)}, "are float32 of rank 3. They must be uint8"),
        ({"images": GRAY[0]}, "are uint8 of rank 2"),
        ({"images": np.zeros((10, 3, 4, 4), np.uint8)}, "have 4 channels; 1 or 3 are expected"),
        ({"images": GRAY[:0], "labels": TWO_CLASSES[:0]}, "has 0 images"),
        ({"images": GRAY[:9]}, r"has 9 images and labels of shape \(10,\)"),
        ({"labels": TWO_CLASSES.astype(np.float32)}, "must be integers from 0, not float32"),
        ({"labels": TWO_CLASSES - 1}, "must be integers from 0"),
        ({"label_names": np.array(["cat"])}, "names 1 classes in label_names, the labels have 2"),
        ({"images": np.array([None])}, r"x\.npz is not a readable \.npz.*allow_pickle"),
    ],
)
def test_arrays_that_are_no_images_or_labels_say_why(tmp_path: Path, changed: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        load_dataset(npz(tmp_path / "x.npz", **{"images": GRAY, "labels": TWO_CLASSES, **changed}))


def test_an_npz_with_other_names_lists_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds \['x', 'y'\]\. Expected images and labels, or train_images"):
        load_dataset(npz(tmp_path / "a.npz", x=GRAY, y=TWO_CLASSES))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "packed", "no zip", "one array"])
def test_a_damaged_npz_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=GRAY, labels=TWO_CLASSES)
    whole = path.read_bytes()
    if damage == "one array":
        np.save(tmp_path / "x.npy", GRAY)
        whole = (tmp_path / "x.npy").read_bytes()
    method = whole.find(b"PK\x01\x02") + 10  # of the first entry in the zip's directory; 99: encrypted
    kept = {
        "packed": whole[:method] + b"\x63" + whole[method + 1 :],
        "truncated": whole[:-50],
        "flipped": whole[:80] + b"\xff" * 20 + whole[100:],
        "no zip": b"hello",
    }
    path.write_bytes(kept.get(damage, whole))
    with pytest.raises(DataError, match=r"x\.npz is not a readable \.npz"):
        load_dataset(str(path))


# Names


def test_an_unknown_name_lists_the_built_in_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no data at '.*cifar'\. Give a folder, an \.npz, shards, or one of: fashion-mnist"
    ):
        load_dataset(str(tmp_path / "cifar"))


def test_a_file_of_another_kind_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"x\.csv is not a data set\. Give an \.npz file or a folder"):
        load_dataset(str(tmp_path / "x.csv"))
