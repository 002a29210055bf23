"""`attendc data` as typed, and training on what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import names, told
from nets import TINY_ARGS
from sharded import LABELS, image_folder, tar

from attendc.cli.main import main

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("folder") / "images")


def test_shard_writes_tars_and_their_index(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "shard", str(folder), "--shard-images=10", f"-o{tmp_path}/s", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    tars = ["test-000000.tar", "train-000000.tar", "train-000001.tar", "train-000002.tar"]
    assert names(tmp_path / "s") == ["index.json", *tars]
    assert found["labels"] == [*LABELS]
    train = found["splits"]["train"]
    assert (train["shards"], train["images"], train["counts"]) == (3, 24, [8, 8, 8])
    assert train["bytes"] == sum((tmp_path / "s" / name).stat().st_size for name in tars[1:])


def test_what_is_there_is_replaced_only_if_told_and_only_shards(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "shard", str(folder), f"-o{tmp_path}/s", "-q"]
    assert main(command) == 0
    capfd.readouterr()
    assert main(command) == 2
    assert told(capfd) == f"error: {tmp_path}/s exists already. Add --force to replace it, or choose -o"
    assert main([*command, "--force"]) == 0
    (tmp_path / "s" / "index.json").unlink()
    capfd.readouterr()
    assert main([*command, "--force"]) == 2
    assert "s exists and holds no index.json" in told(capfd)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["shard", "nowhere", "-oout"], 4, "no data at 'nowhere'"),
        (["shard", "fashion-mnist-mini", "-oout", "--shard-bytes=big"], 2, "shard-bytes=big is no amount"),
        (["index", "nowhere/{0..3}.tar"], 4, "there is no shard nowhere/0.tar"),
        (["index", "nowhere/*.tar"], 4, "there is no shard nowhere/*.tar"),
        (["index", "http://host/0.tar"], 2, "http://host/0.tar lies elsewhere. Make the index where the shards are"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    arguments: list[str],
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == code
    assert told(capfd).startswith(f"error: {text}")
    assert not (tmp_path / "out").exists()


def sorted_by_class(folder: Path) -> Path:
    """Write shards as others write them: two of each of two classes, one class a shard, and one of both to test."""
    for number in range(4):
        tar(folder / f"train-{number}.tar", {f"{i}.{k}": v for i in range(4) for k, v in one(number // 2).items()})
    tar(folder / "val.tar", {f"{i}.{k}": v for i in range(2) for k, v in one(i).items()})
    return folder


def one(label: int) -> dict[str, str]:
    return {"png": "PNG", "cls": str(label)}


def test_index_makes_data_of_shards_that_others_wrote(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = sorted_by_class(tmp_path)
    (tmp_path / "labels.txt").write_text("bag\ncoat\n")
    command = ["data", "index", f"{folder}/train-{{0..3}}.tar", "--test", f"{folder}/*val.tar", "--json"]
    assert main([*command, "--labels", f"{folder}/labels.txt"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["labels"] == ["bag", "coat"]
    assert {name: split["counts"] for name, split in found["splits"].items()} == {"train": [8, 8], "test": [1, 1]}
    assert "warning: a training shard holds 50% of the classes that it could" in err.replace("\n", " ")
    assert main(command) == 2
    assert json.loads(capfd.readouterr().out)["error"]["message"] == f"{folder}/index.json exists already"
    assert main([*command, "--force"]) == 0
    assert json.loads(capfd.readouterr().out)["labels"] == ["0", "1"]


def test_a_label_beyond_the_names_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = sorted_by_class(tmp_path)
    (tmp_path / "labels.txt").write_text("bag\n")
    assert main(["data", "index", f"{folder}/train-{{0..3}}.tar", "--labels", f"{folder}/labels.txt"]) == 4
    assert "labels.txt names 1 classes, the data has 2" in told(capfd)
    assert not (folder / "index.json").exists()


def test_train_takes_shards_and_does_the_same_work_once(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "shard", str(folder), f"-o{tmp_path}/s", "-q"]) == 0
    arguments = [*(a for a in TINY_ARGS if "in_channels" not in a), "--model-arg=in_channels=3"]
    loop = ["--epochs=1", "--batch-size=8", "--hold-out=0.3", "--input-size=16x16", "-q", "--json"]
    found = []
    for data, output in ((folder, "a"), (tmp_path / "s", "b"), (tmp_path / "s" / "index.json", "c")):
        capfd.readouterr()
        command = ["train", f"--data={data}", *arguments, *loop, f"-o{tmp_path}/{output}.safetensors"]
        assert main(command) == 0
        found.append(json.loads(capfd.readouterr().out))
    assert found[0]["curve"] == found[1]["curve"] == found[2]["curve"]
    assert found[0]["test_images"] == 6
