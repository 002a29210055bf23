"""What goes into a recipe: where it lies, what it hashes to, and what of it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from nets import NANO, SMALL_SPEC, STAMP, small
from word_stages import recipe, word

from attendc.compress.capture import capture
from attendc.context import Context
from attendc.converters.program import save_program
from attendc.errors import CheckpointError, DataError
from attendc.files import cache_folder, sha256
from attendc.locations import content_hash, data_hash
from attendc.recipe import DataSection, ModelSection, StageEntry
from attendc.runner.source import Source, open_source
from attendc.stages.train_config import DEFAULT_DATA, TrainConfig

MINI = "fashion-mnist-mini"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(here: Path) -> None:
    MemoryFileSystem.store.clear()


def of(
    checkpoint: object = "",
    data: str = "",
    *,
    model_sha256: str = "",
    data_sha256: str = "",
    first: StageEntry | None = None,
) -> Source:
    model = ModelSection(str(checkpoint), model_sha256)
    return open_source(recipe(first or word(), model=model, data=DataSection(data, data_sha256)), Context())


def put(uri: str, content: bytes) -> str:
    MemoryFileSystem().pipe_file(uri, content)
    return uri


def test_a_checkpoint_by_path(small_checkpoint: Path) -> None:
    source = of(small_checkpoint)
    digest = sha256(small_checkpoint)
    size = small_checkpoint.stat().st_size
    assert source.told == {"path": str(small_checkpoint), "sha256": digest, "bytes": size, "trusted": False}
    assert source.model.checkpoint == str(small_checkpoint)
    assert source.hashes["checkpoint"] == digest


def test_a_checkpoint_by_uri_is_brought_here_and_told_by_its_uri(small_checkpoint: Path) -> None:
    uri = put("memory://bucket/small.safetensors", small_checkpoint.read_bytes())
    source = of(uri, model_sha256=sha256(small_checkpoint))
    assert source.told["path"] == uri
    assert Path(source.model.checkpoint).read_bytes() == small_checkpoint.read_bytes()
    assert source.hashes == of(small_checkpoint).hashes
    assert source.data_name == MINI  # as the checkpoint says


def test_the_file_of_a_preset_is_known_by_its_hash(here: Path) -> None:
    def preset() -> object:
        model = ModelSection(name="mine.yaml")
        return open_source(recipe(word(), model=model), Context()).hashes["preset"]

    assert preset() == ""  # not there: the stage that opens it says so
    (here / "mine.yaml").write_text("family: attendnext")
    assert preset() == sha256(here / "mine.yaml")


@pytest.mark.parametrize("where", ["path", "uri"])
def test_a_checkpoint_that_is_another_than_asked_for_is_refused(here: Path, where: str) -> None:
    (here / "net.pth").write_bytes(b"evil")
    named = "net.pth" if where == "path" else put("memory://bucket/net.pth", b"evil")
    with pytest.raises(CheckpointError, match="f" * 64):
        of(named, model_sha256="f" * 64)


def test_a_checkpoint_that_is_not_there_is_left_to_the_stage_that_opens_it() -> None:
    source = of("nowhere.pth")
    assert source.told == {"path": "nowhere.pth", "trusted": False}
    assert (source.hashes["checkpoint"], source.data_name) == ("", "")


def test_a_checkpoint_of_a_uri_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="nothing is there"):
        of("memory://bucket/nowhere.pth")


def test_a_folder_hashes_to_its_content(here: Path) -> None:
    (here / "run").mkdir()
    (here / "run" / "manifest.json").write_text(json.dumps({"inputs": {"data": "pets"}}))
    source = of("run")
    assert source.told == {"path": "run", "sha256": content_hash(here / "run"), "trusted": False}
    assert source.data_name == "pets"


def test_a_secret_in_a_uri_is_not_told() -> None:
    uri = put("memory://someone:password@bucket/net.pth", b"weights")
    assert of(uri).told["path"] == "memory://***@bucket/net.pth"


# The name of the data


def test_a_saved_graph_tells_its_data(here: Path) -> None:
    graph = capture(small("conv_bn_relu"), SMALL_SPEC.preprocess)
    save_program(here / "model.float32.pt2", graph, SMALL_SPEC, STAMP)
    assert of("model.float32.pt2").data_name == MINI


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt2", "a.pth", "folder"])
def test_what_is_damaged_tells_no_data(here: Path, name: str) -> None:
    if name == "folder":
        (here / name).mkdir()
        (here / name / "manifest.json").write_text("{")
    else:
        (here / name).write_bytes(b"PK\x03\x04 no more")
    assert of(name).data_name == ""


def test_the_recipes_data_comes_before_the_checkpoints(small_checkpoint: Path, here: Path) -> None:
    (here / "set.npz").write_bytes(b"images")
    source = of(small_checkpoint, "set.npz")
    assert (source.data, source.data_name) == ("set.npz", "set.npz")
    assert source.hashes["data"] == data_hash("set.npz") != of(small_checkpoint).hashes["data"] == data_hash(MINI)


def test_without_a_checkpoint_it_is_what_training_takes() -> None:
    source = of(first=StageEntry("train", TrainConfig()))
    assert source.data_name == DEFAULT_DATA
    assert source.hashes["data"] == data_hash(DEFAULT_DATA)


def test_a_network_that_is_not_trained_knows_no_data() -> None:
    assert (of().data_name, of().hashes["data"]) == ("", "")


def test_data_by_uri_keeps_its_name_and_hashes_to_its_content() -> None:
    uri = put("memory://bucket/set.npz", b"images")
    source = of("", uri)
    assert source.data == source.data_name == uri
    first = source.hashes["data"]
    put(uri, b"other images")
    assert of("", uri).hashes["data"] != first


def test_data_by_a_uri_with_a_secret_is_refused_without_telling_it() -> None:
    with pytest.raises(DataError, match="names a secret") as caught:
        of("", "memory://someone:password@bucket/set.npz")
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("name", ["set.npz", MINI, "memory://bucket/set.npz", "folder"])
def test_data_must_be_what_the_recipe_was_written_for(here: Path, name: str) -> None:
    (here / "set.npz").write_bytes(b"images")
    (here / "folder").mkdir()
    put("memory://bucket/set.npz", b"images")
    digest = sha256(here / "set.npz") if "set" in name else data_hash(name)
    assert of("", name, data_sha256=digest).hashes["data"] == digest
    with pytest.raises(DataError, match="f" * 64):
        of("", name, data_sha256="f" * 64)


def test_data_that_is_not_there_has_not_the_hash_that_is_due() -> None:
    assert of("", "nowhere").hashes["data"] == ""
    with pytest.raises(DataError, match="of nothing"):
        of("", "nowhere", data_sha256="f" * 64)


def test_data_that_a_stage_writes_into_the_checkpoint_counts(here: Path) -> None:
    (here / "later.npz").write_bytes(b"images")
    one = recipe(StageEntry("train", TrainConfig(spec_data="later.npz")), word())
    before = open_source(one, Context()).hashes
    assert before["spec_data"] == {"later.npz": data_hash("later.npz")}
    (here / "later.npz").write_bytes(b"other images")
    assert open_source(one, Context()).hashes != before


def test_digests_are_remembered_if_asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attendc.locations.content._SETTLED_S", -1.0)  # else only digests of older files are kept
    (here / "set.npz").write_bytes(b"images")
    one = recipe(word(), data=DataSection("set.npz", sha256(here / "set.npz")))
    first = open_source(one, Context(), remember=False)
    assert list(cache_folder().rglob("*.json")) == []
    assert open_source(one, Context()) == first
    assert len(list(cache_folder().rglob("*.json"))) == 1


# The factory


def test_a_factory_is_known_by_its_file(here: Path) -> None:
    (here / "parts").mkdir()
    (here / "parts" / "__init__.py").write_text("")
    (here / "parts" / "net.py").write_text("def make(): ...\n")

    def digest(factory: str) -> str:
        hashes = open_source(recipe(word(), model=ModelSection(factory=factory)), Context()).hashes
        return str(hashes["factory"])

    assert digest("parts.net:make") == sha256(here / "parts" / "net.py")
    assert digest("parts:make") == sha256(here / "parts" / "__init__.py")
    assert digest("no.such.thing:make") == digest("") == ""


def test_a_sum_without_a_name_is_that_of_the_checkpoints_data() -> None:
    """The recipe names no data; what the checkpoint names is what must hash so, not the current folder."""
    due = data_hash(DEFAULT_DATA)
    assert of(NANO, data_sha256=due).hashes["data"] == due
    with pytest.raises(DataError, match=f"the data {DEFAULT_DATA} has the sha256 {due}, {'0' * 64} is due"):
        of(NANO, data_sha256="0" * 64)
