"""What is found in a tar, and what is said of one that is damaged or holds no samples."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from sharded import tar

from attendc.data.shard_tar import scanned
from attendc.errors import DataError

TWO = {"0.png": "PNG", "0.cls": "3", "1.png": "PNG", "1.cls": "0\n"}


def test_it_tells_where_each_image_lies_and_its_label(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", TWO)
    shard = scanned(path)
    contents = [path.read_bytes()[at : at + size] for at, size in zip(shard.offsets, shard.sizes, strict=True)]
    assert [content[:4] for content in contents] == [b"\x89PNG"] * 2
    assert (shard.name, shard.bytes, shard.targets.tolist()) == ("a.tar", path.stat().st_size, [3, 0])


def test_labels_may_be_json_and_files_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    members = {
        "a/0.JPG": "PNG",
        "a/0.json": '{"label": 2, "who": "x"}',
        "a/0.seg.png": "PNG",
        "README": "",
        "a/1.txt": "words",
        "a/1.webp": "PNG",
        "a/1.cls": "1",
        "a/1.json": '{"label": 9}',  # .cls comes first
    }
    assert scanned(tar(tmp_path / "a.tar", members)).targets.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"0.png": "PNG"}, r"the sample 0 of .*a\.tar has 1 images and 0 labels"),
        ({"0.cls": "0"}, r"the sample 0 of .*a\.tar has 0 images and 1 labels"),
        ({"0.png": "PNG", "0.jpg": "PNG", "0.cls": "0"}, r"the sample 0 of .*a\.tar has 2 images and 1 labels"),
        ({"0.png": "PNG", "0.cls": "coat"}, r"0\.cls of .*a\.tar is no label: b'coat'"),
        ({"0.png": "PNG", "0.cls": "-1"}, r"0\.cls of .*a\.tar has the label -1"),
        ({"0.png": "PNG", "0.json": '{"label": 1.5}'}, r"0\.json of .*a\.tar is no label"),
        ({"0.png": "PNG", "0.json": '{"class": 1}'}, r"0\.json of .*a\.tar is no label"),
        ({"0.png": "PNG", "0.json": "[1]"}, r"0\.json of .*a\.tar is no label"),
        ({"x.txt": "words"}, r"a\.tar holds no images"),
    ],
)
def test_a_sample_that_is_not_whole_is_named(tmp_path: Path, members: dict[str, bytes | str], text: str) -> None:
    with pytest.raises(DataError, match=text):
        scanned(tar(tmp_path / "a.tar", members))


@pytest.mark.parametrize("size", [0, 100, 512, 600, 1024, 1100, 2048, 2560])
def test_a_tar_that_was_cut_is_told_wherever_that_was(tmp_path: Path, size: int) -> None:
    # 0.png, 0.cls, 1.png and 1.cls take two blocks of 512 bytes each; then comes the end
    path = tar(tmp_path / "a.tar", TWO)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"a\.tar is (a damaged tar|not a tar that can be read).*Copy it again"):
        scanned(path)


def test_a_header_that_was_damaged_is_told(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", TWO)
    content = path.read_bytes()
    path.write_bytes(content[:1030] + b"!" + content[1031:])  # in the name of the second file
    with pytest.raises(DataError, match=r"a\.tar is a damaged tar"):
        scanned(path)


def test_a_compressed_tar_is_told(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", TWO)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.tar is not a tar that can be read: .*it must be uncompressed"):
        scanned(path)
