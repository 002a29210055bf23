"""The job of `attendc train`: from a data set to a checkpoint that knows everything about itself."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import TINY, tiny

from attendc.checkpoint import load_model, read_weights, save_checkpoint
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.data.sources import load_dataset
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError, UsageError
from attendc.files import cache_folder, sha256
from attendc.jobs.train import TrainRequest, train_checkpoint
from attendc.models.attendnext import AttendNeXtConfig
from attendc.models.registry import build, resolve
from attendc.train import TrainOptions, accuracy, hold_out
from attendc.types import Preprocess, Spec, Surgery

TINY_ARGS = {k: v for k, v in TINY.items() if k != "classes"}
ONE_EPOCH = TrainOptions(epochs=1, batch_size=16, save_every=2)

USER_NET = """
import signal
from pathlib import Path
from torch import nn

class Net(nn.Module):
    '''Linear; its 5th training step is interrupted, as by Ctrl-C, while a file `interrupt` is there.'''

    def __init__(self, classes=10):
        super().__init__()
        self.head = nn.Linear(3 * 16 * 16, classes)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 5 and Path("interrupt").exists():
            signal.raise_signal(signal.SIGINT)
        return self.head(x.flatten(1))
"""


@pytest.fixture
def request_(tmp_path: Path, small_npz: Path) -> TrainRequest:
    """Ask for one epoch of a tiny net on 60 images."""
    return TrainRequest(
        tmp_path / "x.safetensors",
        model_args=TINY_ARGS,
        data=str(small_npz),
        input_size=(16, 16),
        options=ONE_EPOCH,
    )


@pytest.fixture
def user_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module `user_net` of the user's into the current folder."""
    (tmp_path / "user_net.py").write_text(USER_NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "user_net", raising=False)


def run(request: TrainRequest, *, seed: int = 0, **changed: Any) -> dict[str, Any]:
    return train_checkpoint(dataclasses.replace(request, **changed), Context(seed))


def spec_of(path: Path) -> Spec:
    spec = read_weights(path).spec
    assert spec is not None
    return spec


# What is written


def test_best_and_last_are_written_and_nothing_else(request_: TrainRequest) -> None:
    run(request_)
    assert sorted(p.name for p in request_.output.parent.iterdir()) == ["x.last.safetensors", "x.safetensors"]


def test_the_checkpoint_knows_its_labels_input_and_data(request_: TrainRequest, mini: Dataset) -> None:
    run(request_)
    spec = spec_of(request_.output)
    assert (spec.labels, spec.data) == (mini.labels, request_.data)
    assert spec.preprocess.input_shape == (1, 16, 16)
    assert spec.architecture == resolve("attendnext_nano", TINY)


def test_the_history_tells_how_it_was_trained(request_: TrainRequest) -> None:
    summary = run(request_, seed=7)
    (step,) = spec_of(request_.output).history
    assert (step["step"], step["data"], step["seed"], step["epoch"]) == ("train", request_.data, 7, "best")
    unsaid = {"save_every": TrainOptions().save_every}  # it changes no weight
    assert step["options"] == dataclasses.asdict(ONE_EPOCH) | unsaid
    assert (step["test_accuracy"], step["test_images"]) == (summary["best_accuracy"], 20)


@pytest.mark.parametrize("name", ["best", "last"])
def test_the_accuracy_told_is_that_of_the_file(request_: TrainRequest, name: str) -> None:
    told = run(request_)[f"{name}_accuracy"]
    weights = read_weights(request_.output.with_name("x.safetensors" if name == "best" else "x.last.safetensors"))
    assert weights.spec is not None
    model = load_model(weights, weights.spec.architecture)
    assert accuracy(model, load_dataset(request_.data).test, weights.spec.preprocess) == told


def test_the_summary_counts_parameters_and_epochs(request_: TrainRequest) -> None:
    summary = run(request_)
    assert summary["checkpoint"] == str(request_.output)
    assert summary["params"] == sum(p.numel() for p in tiny().parameters())
    assert [row["epoch"] for row in summary["curve"]] == [1]


def test_the_same_seed_gives_the_same_file(request_: TrainRequest, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for output, seed in zip(outputs, (1, 1, 2), strict=True):
        run(request_, output=output, seed=seed)
    first, again, other = map(sha256, outputs)
    assert first == again != other


def test_the_seed_draws_the_fresh_weights(request_: TrainRequest, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for output, seed in zip(outputs, (1, 1, 2), strict=True):
        run(request_, output=output, seed=seed, options=dataclasses.replace(ONE_EPOCH, epochs=0))
    first, again, other = (read_weights(output).tensors["head.weight"] for output in outputs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_held_out_images_choose_the_best_epoch(request_: TrainRequest) -> None:
    options = dataclasses.replace(ONE_EPOCH, epochs=6, batch_size=8, lr=0.03)  # the best is not the last
    summary = run(request_, hold_out=0.5, options=options)
    weights = read_weights(request_.output)
    assert weights.spec is not None
    model = load_model(weights, weights.spec.architecture)
    _, held_out = hold_out(load_dataset(request_.data).train, 0.5, seed=0)
    reached = [row["val_accuracy"] for row in summary["curve"]]
    assert accuracy(model, held_out, weights.spec.preprocess) == max(reached)


@pytest.mark.parametrize(
    ("size", "fit"),
    [((28, 28), "pad"), ((32, 32), "pad"), ((37, 37), "pad"), ((38, 38), "resize"), ((16, 16), "resize")],
)
def test_images_are_padded_up_to_four_thirds_and_scaled_beyond(
    request_: TrainRequest, size: tuple[int, int], fit: str
) -> None:
    run(request_, input_size=size, options=dataclasses.replace(ONE_EPOCH, epochs=0))  # 28 * 4 / 3 = 37.3
    assert spec_of(request_.output).preprocess.fit == fit


def test_labels_come_from_the_data_of_later_commands(request_: TrainRequest) -> None:
    run(request_, spec_data="fashion-mnist-mini", options=dataclasses.replace(ONE_EPOCH, epochs=0))
    assert spec_of(request_.output).data == "fashion-mnist-mini"


def test_the_test_images_do_not_choose_the_best_epoch(request_: TrainRequest, tmp_path: Path) -> None:
    with np.load(request_.data) as held:
        arrays = dict(held)
    np.savez(tmp_path / "other.npz", **{**arrays, "test_labels": np.zeros(20, np.int64)})
    how = {"hold_out": 0.5, "options": dataclasses.replace(ONE_EPOCH, epochs=4)}
    first = run(request_, **how)
    second = run(request_, **how, data=str(tmp_path / "other.npz"), output=tmp_path / "y.safetensors")
    assert first["curve"] == second["curve"]


# Starting points


def test_training_starts_from_the_weights_it_is_given(request_: TrainRequest, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    spec = Spec(resolve("attendnext_nano", TINY), Preprocess(16, 16, 1, (0.0,), (1.0,)), tuple("abcdefghij"))
    save_checkpoint(start, tiny(seed=5), spec)
    run(request_, init=start, options=dataclasses.replace(ONE_EPOCH, epochs=0))
    tensors = read_weights(request_.output).tensors
    assert all(torch.equal(tensors[k], v) for k, v in tiny(seed=5).state_dict().items())


def test_training_goes_on_from_a_pruned_checkpoint(request_: TrainRequest, tmp_path: Path) -> None:
    # The first block's inner width, 8 of stage 2, becomes 4, as pruning writes it into the Spec.
    layers = {"stages.1.1.stack.0.0": (4, 8, 2), "stages.1.1.stack.0.1": (4, 4, 1), "stages.1.1.stack.1.0": (8, 4, 2)}
    architecture = dataclasses.replace(resolve("attendnext_nano", TINY), surgery=Surgery(layers=layers))
    spec = Spec(architecture, Preprocess(16, 16, 1, (0.5,), (0.25,)), tuple("abcdefghij"))
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, build(architecture), spec)
    run(request_, init=start)
    made = read_weights(request_.output)
    assert made.spec is not None
    assert made.spec.architecture.surgery == Surgery(layers=layers)
    assert made.tensors["stages.1.1.stack.0.0.weight"].shape == (4, 4, 3, 3)


def test_weights_that_do_not_fit_are_refused(request_: TrainRequest, tmp_path: Path) -> None:
    torch.save(tiny(classes=3).state_dict(), tmp_path / "start.pt")
    with pytest.raises(CheckpointError, match=r"head\.weight \(3, 16\) instead of \(10, 16\)"):
        run(request_, init=tmp_path / "start.pt")


@pytest.mark.usefixtures("user_net")
def test_a_network_of_the_user_s_own_is_trained(request_: TrainRequest) -> None:
    run(request_, model="user_net:Net", model_args={"classes": 10})
    spec = spec_of(request_.output)
    assert (spec.architecture.factory, spec.architecture.args) == ("user_net:Net", {"classes": 10})
    assert spec.preprocess.input_shape == (3, 16, 16)


# A run that is killed


def test_the_file_of_a_preset_is_trained_at_its_size_and_is_not_needed_again(request_: TrainRequest) -> None:
    preset = request_.output.with_name("mine.yaml")
    config = {**TINY, "in_channels": 1, "gate": "softmax"}
    preset.write_text(f"family: attendnext\ninput_size: [16, 20]\nconfig: {json.dumps(config)}\n")
    mine = {"model": str(preset), "model_args": {}, "input_size": None}
    run(request_, options=dataclasses.replace(ONE_EPOCH, epochs=0), **mine)
    preset.unlink()
    spec = spec_of(request_.output)
    assert (spec.preprocess.input_shape, spec.architecture.args["gate"]) == ((1, 16, 20), "softmax")
    assert set(spec.architecture.args) == {field.name for field in dataclasses.fields(AttendNeXtConfig)}
    load_model(read_weights(request_.output), spec.architecture)


def test_a_preset_that_was_changed_is_trained_anew(request_: TrainRequest) -> None:
    preset = request_.output.with_name("mine.yaml")
    for gate in ("softmax", "sigmoid"):
        preset.write_text(f"family: attendnext\ninput_size: [16, 16]\nconfig: {json.dumps({**TINY, 'gate': gate})}\n")
        mine = {"model": str(preset), "model_args": {}, "force": True}
        run(request_, options=dataclasses.replace(ONE_EPOCH, epochs=0), **mine)
        assert spec_of(request_.output).architecture.args["gate"] == gate


@pytest.mark.usefixtures("user_net")
def test_a_killed_run_leaves_its_state_and_goes_on_to_the_same_file(request_: TrainRequest) -> None:
    mine = {"model": "user_net:Net", "model_args": {}, "options": dataclasses.replace(ONE_EPOCH, epochs=3)}
    folder = request_.output.parent
    (folder / "interrupt").touch()
    with pytest.raises(KeyboardInterrupt):
        run(request_, **mine)
    assert list(folder.glob("*x.*")) == []
    assert [p.name for p in cache_folder().glob("stages/work/*/*")] == ["train.resume"]
    (folder / "interrupt").unlink()
    run(request_, **mine)
    assert list(cache_folder().glob("stages/work/*/*")) == []
    run(request_, **mine, output=folder / "unbroken.safetensors", cached=False)
    assert sha256(request_.output) == sha256(folder / "unbroken.safetensors")


# What is refused, before any work


@pytest.mark.parametrize("name", ["x.safetensors", "x.last.safetensors"])
def test_neither_output_is_replaced_without_force(request_: TrainRequest, name: str) -> None:
    (request_.output.parent / name).write_text("precious")
    with pytest.raises(OutputError, match=rf"{name} exists already\. Add --force"):
        run(request_)
    assert [p.name for p in request_.output.parent.iterdir()] == [name]
    assert (request_.output.parent / name).read_text() == "precious"


def test_force_replaces_both_outputs(request_: TrainRequest) -> None:
    for name in ("x.safetensors", "x.last.safetensors"):
        (request_.output.parent / name).write_text("old")
    run(request_, force=True)
    assert spec_of(request_.output).classes == 10


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"output": "x.pt"}, OutputError, r"x\.pt does not end in \.safetensors"),
        ({"output": "file/x.safetensors"}, OutputError, r"cannot write .*file is a file"),
        ({"model": "attendnext_nan"}, UsageError, "Did you mean attendnext_nano"),
        ({"data": "no-such-data"}, DataError, "no data at 'no-such-data'"),
        ({"spec_data": "no-such-data"}, DataError, "no data at 'no-such-data'"),
        ({"init": Path("none.pt")}, CheckpointError, r"no file none\.pt"),
        ({"model_args": {**TINY_ARGS, "classes": 7}}, UsageError, "classes is 7, but .* has 10 classes"),
        ({"input_size": (2, 2)}, CheckpointError, r"the network does not run on \(1, 1, 2, 2\)"),
        ({"model_args": {**TINY_ARGS, "in_channels": "one"}}, CheckpointError, "cannot build .*one"),
    ],
)
def test_what_cannot_work_is_refused_before_a_step(
    request_: TrainRequest, changed: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    folder = request_.output.parent
    (folder / "file").touch()
    if "output" in changed:
        changed = {"output": folder / changed["output"]}
    with pytest.raises(error, match=text):
        run(request_, **changed)
    assert [p.name for p in folder.iterdir()] == ["file"]


@pytest.mark.usefixtures("user_net")
def test_a_network_with_other_outputs_than_classes_is_refused(request_: TrainRequest) -> None:
    with pytest.raises(CheckpointError, match=r"gives \(1, 3\) for one image, but .* has 10 classes"):
        run(request_, model="user_net:Net", model_args={"classes": 3})


def test_data_with_other_classes_for_later_commands_is_refused(request_: TrainRequest, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", images=np.zeros((4, 4, 4), np.uint8), labels=np.array([0, 1, 0, 1]))
    with pytest.raises(DataError, match=r"two\.npz has 2 classes, .*small\.npz has 10"):
        run(request_, spec_data=str(tmp_path / "two.npz"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(request_: TrainRequest) -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        train_checkpoint(request_, Context(device="cuda"))
