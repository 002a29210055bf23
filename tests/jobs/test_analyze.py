"""What each part of a network is worth: measured once, on training images, and kept in the cache."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import SMALL, SMALL_SPEC, small, write_npz

from attendc.checkpoint import save_checkpoint
from attendc.compress.capture import probe
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.sensitivity import KEEP_RATIOS, Probe, Sensitivity, judge
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError, UsageError
from attendc.files import cache_folder
from attendc.jobs.analyze import AnalyzeRequest, analyze_checkpoint
from attendc.opening import CheckpointRequest, open_checkpoint, open_dataset
from attendc.stages.analyze import pruning_sensitivity
from attendc.types import Architecture

pytestmark = pytest.mark.slow  # networks are pruned and quantized part by part


class Log(list[str]):
    """What was said."""

    def context(self, seed: int = 0) -> Context:
        return Context(seed, say=self.append)

    def holds(self, text: str) -> bool:
        return any(text in line for line in self)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where this test's measurements are kept."""
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sensitivity"


def saved(path: Path, middle: str, *, seed: int = 0) -> Path:
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": middle}))
    save_checkpoint(path, small(middle, seed=seed), spec)
    return path


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of: convolution `0`, residual block `1` around the convolution `1.branch`, linear `4`."""
    return saved(tmp_path_factory.mktemp("residual") / "residual.safetensors", "residual")


@pytest.fixture
def source(residual: Path, small_npz: Path) -> CheckpointRequest:
    return CheckpointRequest(residual, model="nets:small", data=str(small_npz))


@pytest.fixture
def request_(source: CheckpointRequest, tmp_path: Path) -> AnalyzeRequest:
    return AnalyzeRequest(source, tmp_path / "s.svg", importance="l2", keep_ratios=(0.5, 0.25))


def measured(source: CheckpointRequest, context: Context, *, cached: bool = True) -> tuple[list[Sensitivity], float]:
    """Return what the planner is given."""
    opened = open_checkpoint(source)
    found = find_dependencies(opened.model, probe(opened.spec.preprocess))
    dataset = open_dataset(opened.spec, seed=context.seed)
    return pruning_sensitivity(opened, found, dataset, "l2", context, cached=cached)


# What is measured


def test_every_layer_and_block_has_its_rows(request_: AnalyzeRequest) -> None:
    result = analyze_checkpoint(request_, Context())
    assert [(r["part"], r["what"], r["keep"]) for r in result["rows"]] == [
        ("0", "channels", 0.5),  # the outputs of 0 and of 1.branch are added: one group of 4 channels
        ("0", "channels", 0.25),
        ("1", "block", 0.0),
        ("0", "int8", 1.0),
        ("1", "int8", 1.0),
        ("1.branch", "int8", 1.0),
        ("2", "int8", 1.0),  # the global average pool, a convolution in int8
        ("4", "int8", 1.0),
    ]
    assert result["refused"] == {"4": "its outputs are the network's"}


def test_parts_are_told_in_points_lost_in_the_order_of_the_network(request_: AnalyzeRequest) -> None:
    result = analyze_checkpoint(request_, Context())
    assert [(p["part"], p["kind"], p["pruned_with"], list(p["lost"])) for p in result["parts"]] == [
        ("0", "layer", "", ["keep 0.5", "keep 0.25", "int8"]),
        ("1", "block", "", ["removed", "int8"]),
        ("1.branch", "layer", "0", ["int8"]),
        ("2", "layer", "", ["int8"]),
        ("4", "layer", "", ["int8"]),
    ]
    whole, half = result["whole"]["float32"]["accuracy"], result["rows"][0]["accuracy"]
    assert result["parts"][0]["lost"]["keep 0.5"] == round(100 * (whole - half), 2)


def test_ratios_that_come_to_as_many_channels_have_the_same_number(request_: AnalyzeRequest) -> None:
    result = analyze_checkpoint(dataclasses.replace(request_, keep_ratios=(0.25, 0.125)), Context())
    assert [r["keep"] for r in result["rows"] if r["what"] == "channels"] == [0.25]  # 1 of 4
    lost = result["parts"][0]["lost"]
    assert lost["keep 0.25"] == lost["keep 0.125"]


def test_the_whole_network_is_judged_on_the_training_images(
    request_: AnalyzeRequest, source: CheckpointRequest
) -> None:
    result = analyze_checkpoint(request_, Context())
    opened = open_checkpoint(source)
    train = open_dataset(opened.spec, seed=0).train  # 60 images: fewer than it would take
    accuracy, loss = judge(opened.model, Probe(train, train, SMALL))
    assert result["judged_on"] == {"images": 60, "split": "train"}
    assert result["whole"]["float32"] == {"accuracy": accuracy, "loss": pytest.approx(loss)}


def test_test_images_choose_nothing(request_: AnalyzeRequest, mini: Dataset, tmp_path: Path) -> None:
    with np.load(write_npz(tmp_path / "data.npz", mini)) as held:
        arrays = dict(held)
    np.savez(tmp_path / "data.npz", **arrays | {"test_images": 255 - arrays["test_images"]})
    other = dataclasses.replace(request_.checkpoint, data=str(tmp_path / "data.npz"))
    first, second = (
        analyze_checkpoint(dataclasses.replace(request_, checkpoint=c), Context()) for c in (request_.checkpoint, other)
    )
    assert first["rows"] == second["rows"]


def test_the_planner_is_given_pruning_alone_at_the_usual_ratios(source: CheckpointRequest) -> None:
    rows, loss = measured(source, Context())
    assert KEEP_RATIOS == (0.75, 0.5, 0.25, 0.125)
    kept = [0.75, 0.5, 0.25]  # 3, 2 and 1 of 4 channels; at 0.125 it is 1 again, since one always stays
    assert [(r.part, r.what, r.keep) for r in rows] == [*(("0", "channels", k) for k in kept), ("1", "block", 0)]
    opened = open_checkpoint(source)
    train = open_dataset(opened.spec, seed=0).train
    assert loss == pytest.approx(judge(opened.model, Probe(train, train, SMALL))[1])


def test_an_operator_that_cannot_be_int8_stays_float_and_is_named(tmp_path: Path, small_npz: Path) -> None:
    checkpoint = saved(tmp_path / "erf.safetensors", "erf")
    source = CheckpointRequest(checkpoint, model="nets:small", data=str(small_npz))
    request = AnalyzeRequest(source, tmp_path / "s.svg", importance="l2")
    for _ in range(2):  # measured, and from the cache
        result = analyze_checkpoint(request, Context())
        assert result["warnings"] == ["stays float: erf.default in 1 (Call): LiteRT has no int8 kernel for it"]
    assert [r["part"] for r in result["rows"] if r["what"] == "int8"] == ["0", "2", "4"]


def test_the_picture_is_where_it_is_said_to_be(request_: AnalyzeRequest) -> None:
    result = analyze_checkpoint(request_, Context())
    text = Path(result["picture"]).read_text()
    assert all(f">{p['part']}</text>" in text for p in result["parts"])
    assert "60 training images" in text


# The cache


def test_a_second_time_the_same_is_told_from_the_cache(request_: AnalyzeRequest, cache: Path) -> None:
    log = Log()
    first = analyze_checkpoint(request_, log.context())
    assert not log.holds("as measured before")
    analyze_checkpoint(request_, log.context())  # the whole stage comes from the cache of stages
    shutil.rmtree(cache.parent / "stages")
    second = analyze_checkpoint(request_, log.context())
    assert second == first
    for path in cache.iterdir():
        assert log.holds(f"as measured before, from {path}")
    assert len(list(cache.iterdir())) == 2  # pruning and int8


def test_what_is_in_the_cache_is_not_measured_again(source: CheckpointRequest, cache: Path) -> None:
    rows, _ = measured(source, Context())
    (file,) = cache.iterdir()
    content = json.loads(file.read_text())
    content["rows"][0]["accuracy"], content["loss"] = 0.123, 4.56
    file.write_text(json.dumps(content))
    again, loss = measured(source, Context())
    assert again == [dataclasses.replace(rows[0], accuracy=0.123), *rows[1:]]
    assert loss == 4.56


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"loss"', '"lost"'),
        lambda text: text.replace('"accuracy": 0', '"accuracy": "high", "x": 0'),
        lambda text: "\x00" + text,
    ],
    ids=["empty", "half", "of another kind", "without a field", "of a wrong type", "binary"],
)
def test_a_damaged_measurement_is_noticed_and_made_again(source: CheckpointRequest, cache: Path, damage: Any) -> None:
    before = measured(source, Context())
    (file,) = cache.iterdir()
    whole = file.read_text()
    file.write_text(damage(whole))
    context = Context()
    assert measured(source, context) == before
    (warning,) = context.warnings
    assert warning.startswith(f"a cached measurement cannot be read and is made again: {file}: ")
    assert file.read_text() == whole


def test_a_measurement_of_something_else_is_not_taken(
    source: CheckpointRequest, tmp_path: Path, cache: Path, mini: Dataset
) -> None:
    other_data = write_npz(tmp_path / "other.npz", mini, train=5)
    other_weights = saved(tmp_path / "other.safetensors", "residual", seed=1)
    others = [
        ("seed", source, Context(1)),
        ("data", dataclasses.replace(source, data=str(other_data)), Context()),
        ("preprocess", dataclasses.replace(source, mean=(0.1,)), Context()),
        ("weights", dataclasses.replace(source, path=other_weights), Context()),
    ]
    measured(source, Context())
    for count, (what, other, context) in enumerate(others, 2):
        measured(other, context)
        assert len(list(cache.iterdir())) == count, what


def test_other_data_under_the_same_name_is_noticed(
    source: CheckpointRequest, tmp_path: Path, cache: Path, mini: Dataset
) -> None:
    request = dataclasses.replace(source, data=str(tmp_path / "data.npz"))
    for train in (6, 5):
        write_npz(tmp_path / "data.npz", mini, train=train)
        measured(request, Context())
    assert len(list(cache.iterdir())) == 2


def test_a_network_that_was_changed_since_it_was_opened_is_measured_itself(
    source: CheckpointRequest, cache: Path
) -> None:
    opened = open_checkpoint(source)
    found = find_dependencies(opened.model, probe(SMALL))
    dataset = open_dataset(opened.spec, seed=0)
    _, before = pruning_sensitivity(opened, found, dataset, "l2", Context())
    with torch.no_grad():
        opened.model.get_parameter("4.bias").add_(torch.arange(10.0))
    _, after = pruning_sensitivity(opened, found, dataset, "l2", Context())
    assert after > before + 1


@pytest.mark.parametrize("changed", [{"importance": "l1"}, {"keep_ratios": (0.5,)}])
def test_another_importance_or_ratio_is_another_measurement_of_pruning(
    request_: AnalyzeRequest, cache: Path, changed: dict[str, Any]
) -> None:
    analyze_checkpoint(request_, Context())
    analyze_checkpoint(dataclasses.replace(request_, **changed), Context())
    assert len(list(cache.iterdir())) == 3  # that of int8 is the same


def test_without_the_cache_nothing_is_read_or_kept(request_: AnalyzeRequest, cache: Path) -> None:
    log = Log()
    analyze_checkpoint(dataclasses.replace(request_, cached=False), log.context())
    assert not cache.exists()
    kept = analyze_checkpoint(request_, Context())
    again = analyze_checkpoint(dataclasses.replace(request_, cached=False), log.context())
    assert again["rows"] == kept["rows"]
    assert not log.holds("as measured before")


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(source: CheckpointRequest, cache: Path) -> None:
    cache.parent.write_text("a file where the folder would be")
    context = Context()
    rows, _ = measured(source, context)
    assert len(rows) == 4
    assert any("is not kept: cannot write" in text for text in context.warnings)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ATTENDC_CACHE": "/a", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/attendc"),
        ({"ATTENDC_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/attendc"),
    ],
)
def test_where_the_cache_is(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATTENDC_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


# What is refused


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"output": Path("s.pdf")}, OutputError, r"s\.pdf is no name of a picture\. End it in \.svg or \.png"),
        ({"output": Path("s")}, OutputError, "s is no name of a picture"),
        ({"output": Path("/dev/null/s.svg")}, OutputError, "/dev/null is a file"),
        ({"importance": "bn"}, UsageError, "the importance bn finds nothing to go by in 0"),
        ({"data": "nowhere"}, DataError, "no data at 'nowhere'"),
        ({"path": Path("none.safetensors")}, CheckpointError, r"no file none\.safetensors"),
        ({"input_shape": (3, 8, 8), "mean": (0.5,), "std": (0.5,)}, CheckpointError, "does not take an input of shape"),
    ],
)
def test_what_does_not_fit_is_refused_and_no_picture_written(
    request_: AnalyzeRequest, changed: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    of_checkpoint = {k: v for k, v in changed.items() if k in ("data", "path", "input_shape", "mean", "std")}
    others = {k: v for k, v in changed.items() if k not in of_checkpoint}
    checkpoint = dataclasses.replace(request_.checkpoint, **of_checkpoint)
    with pytest.raises(error, match=text):
        analyze_checkpoint(dataclasses.replace(request_, checkpoint=checkpoint, **others), Context())
    assert not request_.output.exists()


def test_data_with_more_classes_than_outputs_is_refused(
    request_: AnalyzeRequest, tmp_path: Path, small_npz: Path
) -> None:
    with np.load(small_npz) as held:
        arrays = dict(held)
    arrays["train_labels"] = np.where(arrays["train_labels"] == 9, 10, arrays["train_labels"])
    names = np.array([*"abcdefghijk"])
    np.savez(tmp_path / "more.npz", **arrays | {"label_names": names})
    checkpoint = dataclasses.replace(request_.checkpoint, data=str(tmp_path / "more.npz"))
    with pytest.raises(DataError, match="11 classes, the network has 10 outputs"):
        analyze_checkpoint(dataclasses.replace(request_, checkpoint=checkpoint), Context())
