"""Shards: the images of a folder in tars, read here or from elsewhere, and what is said of those that are damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from serving import HAS_AIOHTTP, Served, serving
from sharded import LABELS, changed_index, image_folder, pixels_of, sharded, tar
from torch import nn

from attendc.context import Context
from attendc.data.images import Images
from attendc.data.order import shuffled
from attendc.data.prefetch import batches_ahead
from attendc.data.shard_index import read_index
from attendc.data.shard_store import remote_opener
from attendc.data.shards import shards_at, shards_hash
from attendc.data.sources import load_dataset
from attendc.errors import DataError, OutputError
from attendc.files import cache_folder, sha256
from attendc.jobs.data import IndexRequest, ShardRequest, index_shards, shard_data
from attendc.train import Task, TrainOptions, hold_out, train
from attendc.types import Preprocess

over_http = pytest.mark.skipif(not HAS_AIOHTTP, reason="fsspec reads http with aiohttp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 training and 6 test images of 3 classes in files."""
    return image_folder(tmp_path_factory.mktemp("folder") / "images")


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return their shards, of 5 images at most: 5 of training and 2 of test images. Copy them before changing them."""
    return sharded(folder, tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture
def shards(folder: Path, tmp_path: Path) -> Path:
    """Return the same shards, to be changed."""
    return sharded(folder, tmp_path / "shards")


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[Served]:
    with serving(made) as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_was_asked(request: pytest.FixtureRequest) -> None:
    if "served" in request.fixturenames:
        request.getfixturevalue("served").asked.clear()


def same(first: Images, second: Images) -> bool:
    """Return whether these are the same images in the same order."""
    equal = [np.array_equal(a, b) for a, b in zip(pixels_of(first), pixels_of(second), strict=True)]
    return all(equal) and np.array_equal(first.targets, second.targets)


def as_set(images: Images) -> list[tuple[int, bytes]]:
    return sorted((int(t), p.tobytes()) for t, p in zip(images.targets, pixels_of(images), strict=True))


# Round trip


def test_shards_hold_the_images_of_a_folder_in_its_order(folder: Path, made: Path) -> None:
    before, after = load_dataset(str(folder)), load_dataset(str(made))
    assert after.labels == before.labels == LABELS
    assert (len(after.train), len(after.test)) == (24, 6)
    assert same(before.train, after.train)
    assert same(before.test, after.test)


def test_each_shard_is_a_mixture_and_none_holds_more_than_told(made: Path) -> None:
    shards = read_index(made / "index.json", "").splits["train"].shards
    assert [len(shard.targets) for shard in shards] == [5, 5, 5, 5, 4]
    assert min(len({*shard.targets.tolist()}) for shard in shards) > 1  # a folder begins with 8 of one class


def test_a_shard_is_closed_when_it_has_its_bytes(small_npz: Path, tmp_path: Path) -> None:
    told = shard_data(ShardRequest(str(small_npz), tmp_path / "s", shard_bytes="10k"), Context())
    shards = read_index(tmp_path / "s" / "index.json", "").splits["train"].shards
    assert told["splits"]["train"]["shards"] == len(shards) > 1
    # the label of a sample is a byte; the image that reaches the limit is the last
    held = [int((shard.sizes + 1).sum()) for shard in shards]
    assert all(10_000 <= size < 10_000 + max(shard.sizes) + 1 for size, shard in zip(held[:-1], shards, strict=False))


def test_files_go_in_as_they_are_and_other_kinds_as_png(folder: Path, made: Path) -> None:
    images = load_dataset(str(made)).train
    assert images.encoded is not None
    contents = [images.encoded(i) for i in range(8)]  # of the first class: png, jpg, webp, bmp, and again
    files = [path.read_bytes() for path in sorted((folder / "train" / "bag").iterdir())]
    assert contents[:3] == files[:3]
    assert (files[3][:2], contents[3][:4]) == (b"BM", b"\x89PNG")


def test_the_same_data_gives_the_same_bytes_and_another_seed_other_shards(
    folder: Path, made: Path, tmp_path: Path
) -> None:
    again, other = sharded(folder, tmp_path / "again"), sharded(folder, tmp_path / "other", seed=1)
    assert {p.name: sha256(p) for p in again.iterdir()} == {p.name: sha256(p) for p in made.iterdir()}
    assert sha256(other / "train-000000.tar") != sha256(made / "train-000000.tar")
    assert same(load_dataset(str(other)).train, load_dataset(str(made)).train)  # the index keeps the order


def test_webdataset_reads_them(made: Path) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    with (made / "train-000000.tar").open("rb") as file:
        samples = list(group_by_keys({**member, "__url__": ""} for member in tar_file_iterator(file)))
    images = load_dataset(str(made)).train
    assert images.encoded is not None
    assert len(samples) == 5
    for sample in samples:
        index = int(sample["__key__"])
        assert int(sample["cls"]) == images.targets[index]
        assert images.encoded(index) in sample.values()


def test_shards_of_shards_hold_the_same_files(made: Path, tmp_path: Path) -> None:
    again = sharded(made, tmp_path / "again", images=9)
    first, second = load_dataset(str(made)).train, load_dataset(str(again)).train
    assert first.encoded is not None
    assert second.encoded is not None
    assert [first.encoded(i) for i in range(24)] == [second.encoded(i) for i in range(24)]


# Names


@pytest.mark.parametrize(
    "name", ["{}", "{}/", "{}/index.json", "{}/train-{{000000..000004}}.tar", "{}/*.tar", "file://{}"]
)
def test_shards_have_many_names(made: Path, name: str) -> None:
    assert same(load_dataset(name.format(made)).train, load_dataset(str(made)).train)


def test_tars_that_are_named_choose_among_those_of_the_index(made: Path) -> None:
    index, whole = read_index(made / "index.json", ""), load_dataset(str(made))
    some = load_dataset(f"{made}/train-{{000001,000003}}.tar")
    held = [*range(5, 10), *range(15, 20)]  # numbers of their images
    kept = [i for i, number in enumerate(index.splits["train"].order) if number in held]
    assert [p.tobytes() for p in pixels_of(some.train)] == [p.tobytes() for p in whole.train.read(kept)]
    assert same(some.test, whole.test)  # of which none is named


def test_without_test_shards_a_fifth_is_split_off(shards: Path) -> None:
    told = json.loads((shards / "index.json").read_text())
    del told["splits"]["test"]
    (shards / "index.json").write_text(json.dumps(told))
    found = load_dataset(str(shards))
    assert (len(found.train), len(found.test)) == (18, 6)  # of 8 in each class round(1.6)


def test_the_hash_is_that_of_the_index_and_of_the_chosen_tars(made: Path, shards: Path) -> None:
    def hash_of(name: str) -> str:
        place = shards_at(name)
        assert place is not None
        return shards_hash(place)

    assert hash_of(str(made)) == hash_of(f"{shards}/index.json")
    assert hash_of(f"{made}/train-000000.tar") != hash_of(str(made))
    changed_index(shards, shard={"sha256": "0" * 64})
    assert hash_of(str(made)) != hash_of(str(shards))


def test_other_data_is_no_shards(folder: Path, small_npz: Path) -> None:
    assert [shards_at(str(name)) for name in (folder, small_npz, "fashion-mnist", "http://host/data.npz")] == [None] * 4


# From elsewhere


@over_http
@pytest.mark.parametrize("name", ["{}/", "{}/index.json", "{}/train-{{000000..000004}}.tar"])
def test_over_http_they_come_in_the_order_in_which_they_are_stored(made: Path, served: Served, name: str) -> None:
    here, there = load_dataset(str(made)), load_dataset(name.format(served.url()))
    order = read_index(made / "index.json", "").splits["train"].order
    assert there.labels == LABELS
    assert same(
        there.train,
        Images(lambda i: here.train.read(np.argsort(order)[i].tolist()), here.train.targets[np.argsort(order)]),
    )
    assert as_set(there.test) == as_set(here.test)


@over_http
def test_opening_and_looking_at_a_few_fetches_few_shards(served: Served) -> None:
    images = load_dataset(f"{served.url()}/").train
    assert served.asked.count("index.json") >= 1
    assert [name for name in served.asked if name.endswith(".tar")] == []
    images.read([0, 1, 4])
    assert [name for name in served.asked if name.endswith(".tar")] == ["train-000000.tar"]


@over_http
def test_an_epoch_fetches_each_shard_once_though_few_have_room(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTENDC_SHARDS", "1")  # byte: so many are kept as are needed at once, which are 12
    many = sharded(folder, tmp_path / "many", images=1)
    with serving(many) as server:
        images = load_dataset(f"{server.url()}/").train
        server.asked.clear()
        order = shuffled(images, np.random.default_rng(0))
        most, read = 0, []
        for values in batches_ahead(images, order, 2, lambda _, indices: images.read(indices)):
            read += [v.tobytes() for v in values]
            most = max(most, len([*(cache_folder() / "shards").glob("*.tar")]))
        assert sorted(server.asked) == [f"train-{i:06}.tar" for i in range(24)]
    assert sorted(read) == sorted(p.tobytes() for p in pixels_of(load_dataset(str(many)).train))
    assert most <= 12


@over_http
def test_shards_that_have_room_are_fetched_once_for_all(served: Served) -> None:
    for _ in range(2):
        pixels_of(load_dataset(f"{served.url()}/").train)
    assert sorted(name for name in served.asked if name.endswith(".tar")) == [f"train-{i:06}.tar" for i in range(5)]


@over_http
def test_held_out_images_need_shards_of_their_own(served: Served) -> None:
    images = load_dataset(f"{served.url()}/").train
    rest, held = hold_out(images, 0.25, seed=0)  # 6 of 24
    assert rest.shards is not None
    assert held.shards is not None
    assert len(held) == 6
    assert len({*held.shards.of.tolist()}) == 2
    assert len({*held.shards.of.tolist()} & {*rest.shards.of.tolist()}) <= 1  # the one that is parted


@over_http
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (None, r"cannot read http://.*/train-000000\.tar: nothing is there"),
        (b"", r"train-000000\.tar is damaged, or its index is of other shards: it has 0 bytes, the index says \d+"),
        ("a byte", r"train-000000\.tar is damaged, or its index is of other shards: it has sha256 .*, the index says"),
    ],
)
def test_a_shard_elsewhere_that_is_not_the_one_of_the_index_is_told(
    shards: Path, damage: bytes | str | None, text: str
) -> None:
    path = shards / "train-000000.tar"
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(content[:700] + b"!" + content[701:] if isinstance(damage, str) else damage)
    with serving(shards) as server:
        images = load_dataset(f"{server.url()}/").train
        with pytest.raises(DataError, match=text):
            images.read([0])
    assert [*(cache_folder() / "shards").glob("*.tar*")] == []


@over_http
def test_a_cache_that_cannot_be_written_is_told(made: Path, served: Served, tmp_path: Path) -> None:
    (cache_folder() / "shards").parent.mkdir(parents=True, exist_ok=True)
    (cache_folder() / "shards").write_text("in the way")
    shard = read_index(made / "index.json", "").splits["train"].shards[0]
    with pytest.raises(OutputError, match=r"cannot write .*/shards/.*\. Set ATTENDC_CACHE to another folder"):
        remote_opener(served.url(), [shard])(shard)


def test_no_index_elsewhere_is_told(tmp_path: Path) -> None:
    if not HAS_AIOHTTP:
        pytest.skip("fsspec reads http with aiohttp")
    with serving(tmp_path) as server, pytest.raises(DataError, match=r"index\.json: nothing is there"):
        load_dataset(f"{server.url()}/")


# Training

FEW = TrainOptions(epochs=2, batch_size=4, lr=1e-2)


def weights(data: Path | str, *, seed: int = 0) -> str:
    """Return what the weights hash to after two epochs."""
    images = load_dataset(str(data)).train
    rest, held = hold_out(images, 0.25, seed=seed)
    colour = Preprocess(16, 16, 3, (0.5,) * 3, (0.25,) * 3, "resize")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    result = train(net, Task(rest, held, colour), FEW, Context(seed))
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in result.last.values())).hexdigest()


def test_training_on_shards_gives_the_weights_of_training_on_the_folder(folder: Path, made: Path) -> None:
    assert weights(made) == weights(folder) != weights(folder, seed=1)


@over_http
def test_training_over_http_gives_the_same_weights_each_time(served: Served) -> None:
    assert weights(f"{served.url()}/") == weights(f"{served.url()}/index.json")


# Errors


@pytest.mark.parametrize("damage", ["missing", "cut", "a byte"])
def test_a_shard_that_is_not_the_one_of_the_index_is_told(shards: Path, damage: str) -> None:
    path = shards / "train-000002.tar"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:5000] if damage == "cut" else content[:600] + b"!" + content[601:])
    text = "is missing" if damage == "missing" else "is damaged, or its index is of other shards: it has"
    with pytest.raises(DataError, match=rf"the shard .*train-000002\.tar {text}.*attendc data index"):
        load_dataset(str(shards))


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    tar(
        tmp_path / "a.tar",
        {"0.png": b"no image", "0.cls": "0", "1.png": "PNG", "1.cls": "0", "2.png": "PNG", "2.cls": "0"},
    )
    index_shards(IndexRequest(f"{tmp_path}/a.tar"), Context())
    dataset = load_dataset(str(tmp_path))
    with pytest.raises(DataError, match=r"image 0 of a\.tar cannot be decoded"):
        pixels_of(dataset.train), pixels_of(dataset.test)


@pytest.mark.parametrize(
    ("shard", "split", "text"),
    [
        (
            {"targets": [0, 1, 2, 3, 0]},
            {},
            r"image 3 of train-000000\.tar has the label 3, .*index\.json has classes 0\.\.2",
        ),
        ({"targets": [0, 1]}, {}, r"contradicts itself about the shard 'train-000000\.tar'"),
        ({"name": "../x.tar"}, {}, r"contradicts itself about the shard '\.\./x\.tar'"),
        ({"offsets": [0, 0, 0, 0, 10**9]}, {}, r"has an image beyond the \d+ bytes of train-000000\.tar"),
        ({}, {"order": [0] * 24}, r"its order or counts are not those of its 24 images"),
        ({}, {"counts": [24, 0, 0]}, r"its order or counts are not those of its 24 images"),
        ({}, {"order": "x"}, r"index\.json is no index of shards: ValueError"),
    ],
)
def test_an_index_that_is_wrong_is_told(
    shards: Path, shard: dict[str, object], split: dict[str, object], text: str
) -> None:
    changed_index(shards, shard=shard, **split)
    with pytest.raises(DataError, match=text):
        load_dataset(str(shards))


@pytest.mark.parametrize("content", ["", "[]", '{"attendc_shards": 2}', '{"attendc_shards": 1}'])
def test_a_file_that_is_no_index_is_told(shards: Path, content: str) -> None:
    (shards / "index.json").write_text(content)
    with pytest.raises(DataError, match=r"index\.json (is no index of shards|has version 2, known is 1)"):
        load_dataset(str(shards))


def test_a_class_without_training_images_is_named(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", {"0.png": "PNG", "0.cls": "0", "1.png": "PNG", "1.cls": "2"})
    with pytest.raises(DataError, match="the shards has no training images of 1 of 3 classes: 1"):
        index_shards(IndexRequest(f"{tmp_path}/a.tar"), Context())
    (tmp_path / "images" / "train" / "empty").mkdir(parents=True)
    image_folder(tmp_path / "images")
    with pytest.raises(DataError, match="has no training images of 1 of 4 classes: empty"):
        sharded(tmp_path / "images", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_tars_without_an_index_get_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"have no index\.json\. attendc data index '{tmp_path}/\*\.tar'"):
        load_dataset(f"{tmp_path}/train-{{0..3}}.tar")


def test_tars_that_the_index_does_not_know_are_named(made: Path) -> None:
    with pytest.raises(DataError, match=r"index\.json does not know the shard train-000005\.tar.* of other shards"):
        load_dataset(f"{made}/train-{{000003..000006}}.tar")


@pytest.mark.parametrize(("name", "text"), [("a/{x,y/z}.tar", "lie in 2 folders"), ("a/{0..3.tar", "cannot be listed")])
def test_tars_that_cannot_be_listed_are_told(name: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        load_dataset(name)
