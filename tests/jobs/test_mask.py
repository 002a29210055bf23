"""The job of `attendc prune --unstructured` and `--two-four`: zeros in a checkpoint of the same shapes.

The small network has 4 * 9 + 4 * 4 * 9 + 10 * 4 = 220 weights beside biases and norms: convolutions `0` and `1.0`,
and a linear layer `4`. Rows of nine do not make fours; rows of 36 and of 4 do.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import SMALL, small

from attendc.checkpoint import read_weights
from attendc.context import Context
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError, UsageError
from attendc.files import sha256
from attendc.jobs.mask import MaskRequest, mask_checkpoint
from attendc.opening import CheckpointRequest, Opened, open_checkpoint
from attendc.train import TrainOptions

Manifest = dict[str, Any]

NO_EPOCH = TrainOptions(epochs=0, batch_size=16)
ONE_EPOCH = TrainOptions(epochs=1, batch_size=16, lr=0.02)
WEIGHTS = {"0.weight": 36, "1.0.weight": 144, "4.weight": 40}

WATCHED_NET = """
from nets import small
from torch import nn

class Net(nn.Sequential):
    '''The small net, which refuses to be trained unless half of the weights of `1.0` are zero.'''

    def __init__(self):
        super().__init__(*small("conv_bn_relu"))

    def forward(self, x):
        zeros = int((self[1][0].weight == 0).sum())
        if self.training and zeros != 72:
            raise ValueError(f"{zeros} zeros")
        return super().forward(x)
"""


@pytest.fixture
def request_(tmp_path: Path, small_checkpoint: Path, small_npz: Path) -> MaskRequest:
    """Ask for half of the weights to be zero, without training."""
    (tmp_path / "out").mkdir()
    source = CheckpointRequest(small_checkpoint, model="nets:small", data=str(small_npz))
    return MaskRequest(source, tmp_path / "out" / "x.safetensors", "unstructured", 0.5, NO_EPOCH)


def run(request: MaskRequest, *, seed: int = 0, **changed: Any) -> Manifest:
    return mask_checkpoint(dataclasses.replace(request, **changed), Context(seed))


def opened(request: MaskRequest) -> Opened:
    return open_checkpoint(dataclasses.replace(request.checkpoint, path=request.output))


def zeros_in(path: Path) -> dict[str, int]:
    tensors = read_weights(path).tensors
    return {name: int((tensors[name] == 0).sum()) for name in WEIGHTS}


def left(request: MaskRequest) -> list[str]:
    return sorted(p.name for p in request.output.parent.iterdir())


def foreign(folder: Path, data: str = "") -> CheckpointRequest:
    """Return a checkpoint without a Spec, with all that must be said of it."""
    torch.save({"state_dict": small("conv_bn_relu").state_dict()}, folder / "plain.pt")
    how: dict[str, Any] = {"model_args": {"middle": "conv_bn_relu"}, "input_shape": (1, 8, 8)}
    return CheckpointRequest(folder / "plain.pt", model="nets:small", mean=(0.5,), std=(0.25,), data=data, **how)


# What is written


def test_checkpoint_and_manifest_appear_and_the_original_stays(request_: MaskRequest) -> None:
    before = request_.checkpoint.path.read_bytes()
    manifest = run(request_)
    assert left(request_) == ["x.manifest.json", "x.safetensors"]
    written = json.loads(request_.output.with_suffix(".manifest.json").read_text())
    assert written == json.loads(json.dumps(manifest, default=str))
    assert written["outputs"]["x.safetensors"]["sha256"] == sha256(request_.output)
    assert request_.checkpoint.path.read_bytes() == before


def test_so_many_weights_are_zero_and_all_others_are_as_they_were(request_: MaskRequest) -> None:
    run(request_)
    before, after = read_weights(request_.checkpoint.path).tensors, read_weights(request_.output).tensors
    assert sum(zeros_in(request_.output).values()) == 110  # half of 220
    for name in WEIGHTS:
        stays = after[name] != 0
        assert torch.equal(after[name][stays], before[name][stays])
    assert torch.equal(after["0.bias"], before["0.bias"])


def test_the_manifest_tells_the_part_of_zeros_in_each_weight(request_: MaskRequest) -> None:
    told = run(request_)["zeros"]
    assert told == {name: count / WEIGHTS[name] for name, count in zeros_in(request_.output).items()}


def test_two_of_every_four_weights_in_a_row_are_zero(request_: MaskRequest) -> None:
    assert run(request_, kind="2:4")["zeros"] == {"0.weight": 0.0, "1.0.weight": 0.5, "4.weight": 0.5}
    rows = read_weights(request_.output).tensors["1.0.weight"].reshape(-1, 4)
    assert ((rows == 0).sum(1) == 2).all()


def test_the_spec_keeps_its_shapes_and_its_history_tells_the_step(request_: MaskRequest) -> None:
    manifest = run(request_, seed=4)
    spec = opened(request_).spec
    assert spec.architecture == open_checkpoint(request_.checkpoint).spec.architecture
    (step,) = spec.history
    assert (step["step"], step["kind"], step["ratio"], step["seed"]) == ("mask", "unstructured", 0.5, 4)
    assert step["results"] == manifest["steps"]


def test_accuracies_are_those_of_the_files_on_the_test_images(request_: MaskRequest, tmp_path: Path) -> None:
    """The test images are labelled by the network as it was, so it knows all of them, and few training images."""
    with np.load(request_.checkpoint.data) as held:
        content = dict(held)
    x = next(batches(load_dataset(request_.checkpoint.data).test, SMALL, batch_size=20))[0]
    content["test_labels"] = open_checkpoint(request_.checkpoint).model(x).argmax(1).numpy()
    np.savez(tmp_path / "answered.npz", **content)
    source = dataclasses.replace(request_.checkpoint, data=str(tmp_path / "answered.npz"))
    steps = run(request_, checkpoint=source, recover=ONE_EPOCH)["steps"]
    reached = opened(request_).model(x).argmax(1).numpy() == content["test_labels"]
    assert (steps[0]["accuracy"], steps[-1]["accuracy"]) == (1.0, reached.mean())


def test_that_nothing_runs_faster_is_said(request_: MaskRequest) -> None:
    manifest = run(request_)
    (warning,) = manifest["warnings"]
    assert "files and times stay as they are" in warning
    assert len({(row["macs"], row["params"]) for row in manifest["steps"]}) == 1


# Recovery


def test_training_leaves_the_zeros_and_changes_the_others(request_: MaskRequest) -> None:
    without, trained = request_.output, request_.output.with_name("trained.safetensors")
    run(request_)
    run(request_, output=trained, recover=ONE_EPOCH)
    assert zeros_in(trained) == zeros_in(without)
    first, second = (read_weights(path).tensors["1.0.weight"] for path in (without, trained))
    assert torch.equal(first == 0, second == 0)
    assert not torch.equal(first, second)


def test_training_sees_no_other_network_than_the_masked_one(
    request_: MaskRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "watched_masked_net.py").write_text(WATCHED_NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = dataclasses.replace(request_.checkpoint, model="watched_masked_net:Net")
    manifest = run(request_, checkpoint=source, kind="2:4", recover=dataclasses.replace(ONE_EPOCH, epochs=2))
    assert manifest["steps"][-1]["step"] == "recovered"


def test_the_same_seed_gives_the_same_file(request_: MaskRequest) -> None:
    outputs = [request_.output.with_name(f"{name}.safetensors") for name in "ab"]
    for output in outputs:
        run(request_, output=output, recover=ONE_EPOCH, seed=3)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_without_data_and_epochs_the_weights_are_masked_and_nothing_is_measured(
    request_: MaskRequest, tmp_path: Path
) -> None:
    manifest = run(request_, checkpoint=foreign(tmp_path))
    assert [sorted(row) for row in manifest["steps"]] == [["macs", "params", "step"]] * 2
    assert sum(zeros_in(request_.output).values()) == 110


def test_without_epochs_the_last_row_says_that_only_batch_norms_were_measured(request_: MaskRequest) -> None:
    rows = [row["step"] for row in run(request_)["steps"]]
    assert rows == ["as it was", "masked", "batch norms measured again"]
    rows = [row["step"] for row in run(request_, recover=ONE_EPOCH, force=True)["steps"]]
    assert rows == ["as it was", "masked", "recovered"]


def test_the_manifest_names_what_went_in_as_that_of_pruning_does(request_: MaskRequest) -> None:
    source = request_.checkpoint.path
    told = {"path": str(source), "sha256": sha256(source), "bytes": source.stat().st_size, "trusted": False}
    assert run(request_)["inputs"] == {"checkpoint": told, "data": request_.checkpoint.data}


def test_which_weights_of_a_file_were_taken_is_a_warning(request_: MaskRequest, tmp_path: Path) -> None:
    assert run(request_, checkpoint=foreign(tmp_path))["warnings"][0] == "weights taken from 'state_dict'"


# What is refused, leaving nothing


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"ratio": 1.0}, UsageError, r"the ratio of masked weights is 1\.0\. It must lie between 0 and 1"),
        ({"kind": "2:4", "ratio": 0.3}, UsageError, r"2:4 masks with a ratio of 0\.3"),
        ({"recover": TrainOptions(epochs=1, batch_size=61)}, DataError, "57 training images make no batch of 61"),
        ({"recover": dataclasses.replace(ONE_EPOCH, lr=-1.0)}, UsageError, r"lr is -1\.0"),
        ({"output": "x.pt"}, OutputError, r"x\.pt does not end in \.safetensors"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    request_: MaskRequest, changed: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    if "output" in changed:
        changed = {"output": request_.output.with_name(changed["output"])}
    with pytest.raises(error, match=text):
        run(request_, **changed)
    assert left(request_) == []


def test_training_without_data_is_refused(request_: MaskRequest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recovery needs images\. Add --data, or --epochs 0"):
        run(request_, checkpoint=foreign(tmp_path), recover=ONE_EPOCH)
    assert left(request_) == []


def test_data_with_more_classes_than_outputs_is_refused(request_: MaskRequest, tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", images=np.zeros((24, 8, 8), np.uint8), labels=np.arange(24) % 12)
    with pytest.raises(DataError, match=r"many\.npz has 12 classes, the network has 10 outputs"):
        run(request_, checkpoint=foreign(tmp_path, str(tmp_path / "many.npz")), recover=ONE_EPOCH)
    assert left(request_) == []


def test_an_input_that_the_network_does_not_take_is_named(request_: MaskRequest) -> None:
    source = dataclasses.replace(request_.checkpoint, input_shape=(3, 8, 8), mean=(0.5,), std=(0.25,))
    with pytest.raises(CheckpointError, match=r"does not take an input of shape \(2, 3, 8, 8\)"):
        run(request_, checkpoint=source)
    assert left(request_) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(request_: MaskRequest) -> None:
    with pytest.raises(UsageError, match=r"no CUDA device is available\. Use --device cpu"):
        mask_checkpoint(dataclasses.replace(request_, recover=ONE_EPOCH), Context(device="cuda"))
    assert left(request_) == []


@pytest.mark.parametrize("existing", ["x.safetensors", "x.manifest.json"])
def test_neither_file_is_replaced_without_force(request_: MaskRequest, existing: str) -> None:
    (request_.output.parent / existing).write_text("precious")
    with pytest.raises(OutputError, match=rf"{existing} exists already"):
        run(request_)
    assert left(request_) == [existing]
    run(request_, force=True)
    assert left(request_) == ["x.manifest.json", "x.safetensors"]
