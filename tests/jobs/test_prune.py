"""The job of `attendc prune`: what is written, who can read it, and that failures leave nothing.

The small network is convolution `0` (1 to 4 channels, 8x8 pixels left), convolution `1.0` (4 to 4, 6x6 left) with a
batch norm, and a linear layer `4`. With k of the 4 channels of `1.0` left, and `0` guarded, it has
4 * 9 * 64 + 4 * k * 9 * 36 + 10 * k MACs: 7528 for k = 4, 6222 for 3, 4916 for 2; and 40 + 36 k + 2 k + 10 k + 10
parameters: 242, 194, 146.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import PREPROCESS, SMALL, SMALL_SPEC, SPEC, settle, small, tiny

from attendc.checkpoint import read_weights, save_checkpoint
from attendc.compress.pruning.prune import PruneOptions
from attendc.context import Context
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.errors import CheckpointError
from attendc.files import sha256
from attendc.jobs.convert import ConvertRequest, convert_source
from attendc.jobs.inspect import inspect_file
from attendc.jobs.prune import PruneRequest, prune_checkpoint
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.metrics import count_macs, count_params
from attendc.opening import CheckpointRequest, Opened, open_checkpoint
from attendc.parity import Gates
from attendc.train import TrainOptions
from attendc.types import Architecture

Manifest = dict[str, Any]

TWO_LEFT = PruneOptions("macs", "4.92k", recover=None)  # 4916 <= 4920, and within 2 % of it
ONE_EPOCH = TrainOptions(epochs=1, batch_size=16, lr=4e-3)


def saved(folder: Path, middle: str = "conv_bn_relu") -> Path:
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": middle}))
    save_checkpoint(folder / f"{middle}.safetensors", small(middle), spec)
    return folder / f"{middle}.safetensors"


@pytest.fixture
def request_(tmp_path: Path, small_npz: Path) -> PruneRequest:
    """Ask for two of the channels of `1.0`, without recovery."""
    (tmp_path / "out").mkdir()
    source = CheckpointRequest(saved(tmp_path), model="nets:small", data=str(small_npz))
    return PruneRequest(source, tmp_path / "out" / "x.safetensors", TWO_LEFT)


def run(request: PruneRequest, *, seed: int = 0, **changed: Any) -> Manifest:
    return prune_checkpoint(dataclasses.replace(request, **changed), Context(seed))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def opened(path: Path, request: PruneRequest) -> Opened:
    return open_checkpoint(dataclasses.replace(request.checkpoint, path=path))


def costs(found: Opened) -> tuple[int, int]:
    return count_macs(found.model, found.spec.preprocess.input_shape), count_params(found.model)


# What is written


def test_checkpoint_plan_and_manifest_appear_together(request_: PruneRequest, tmp_path: Path) -> None:
    run(request_)
    assert names(tmp_path / "out") == ["x.manifest.json", "x.plan.json", "x.safetensors"]


def test_the_manifest_returned_is_the_one_written(request_: PruneRequest, tmp_path: Path) -> None:
    returned = json.loads(json.dumps(run(request_), default=str))
    assert returned == json.loads((tmp_path / "out" / "x.manifest.json").read_text())
    assert returned["plan"] == json.loads((tmp_path / "out" / "x.plan.json").read_text())


def test_hashes_and_bytes_are_those_of_the_files(request_: PruneRequest, tmp_path: Path) -> None:
    manifest = run(request_)
    files = {name: tmp_path / "out" / name for name in ("x.plan.json", "x.safetensors")}
    assert manifest["outputs"] == {n: {"sha256": sha256(p), "bytes": p.stat().st_size} for n, p in files.items()}
    source = request_.checkpoint.path
    told = manifest["inputs"]["checkpoint"]
    assert told == {"path": str(source), "sha256": sha256(source), "bytes": source.stat().st_size, "trusted": False}


def test_the_checkpoint_holds_the_network_that_the_budget_asked_for(request_: PruneRequest) -> None:
    run(request_)
    assert request_.output is not None
    found = opened(request_.output, request_)
    assert costs(found) == (4916, 146)
    assert found.model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_the_channels_that_stay_are_those_of_the_plan_bit_by_bit(request_: PruneRequest) -> None:
    kept = run(request_)["plan"]["layers"]["1.0"]["keep"]
    assert request_.output is not None
    before, after = read_weights(request_.checkpoint.path).tensors, read_weights(request_.output).tensors
    assert len(kept) == 2
    assert torch.equal(after["1.0.weight"], before["1.0.weight"][kept])
    assert torch.equal(after["4.weight"], before["4.weight"][:, kept])
    assert torch.equal(after["0.weight"], before["0.weight"])


def test_the_spec_goes_on_and_its_history_tells_the_step(request_: PruneRequest) -> None:
    manifest = run(request_, seed=7)
    assert request_.output is not None
    spec = opened(request_.output, request_).spec
    assert (spec.labels, spec.preprocess, spec.data) == (SMALL_SPEC.labels, SMALL, request_.checkpoint.data)
    (step,) = spec.history
    assert (step["step"], step["seed"], step["options"]["amount"]) == ("prune", 7, "4.92k")
    assert step["results"] == manifest["steps"]


def test_the_original_stays_as_it_is(request_: PruneRequest) -> None:
    before = request_.checkpoint.path.read_bytes()
    run(request_, options=dataclasses.replace(TWO_LEFT, recover=ONE_EPOCH))
    assert request_.checkpoint.path.read_bytes() == before


# What the manifest tells


def test_a_row_after_each_step_with_its_cost(request_: PruneRequest) -> None:
    steps = run(request_, options=dataclasses.replace(TWO_LEFT, recover=ONE_EPOCH))["steps"]
    assert [(row["step"], row["macs"], row["params"]) for row in steps] == [
        ("as it was", 7528, 242),
        ("pruned", 4916, 146),
        ("batch norms measured again", 4916, 146),
        ("recovered", 4916, 146),
    ]


def test_its_accuracies_are_those_of_the_files_on_the_test_images(request_: PruneRequest, tmp_path: Path) -> None:
    """The test images are labelled by the network as it was, so it knows all of them, and few training images."""
    with np.load(request_.checkpoint.data) as held:
        content = dict(held)
    network = opened(request_.checkpoint.path, request_).model
    x = next(batches(load_dataset(request_.checkpoint.data).test, SMALL, batch_size=20))[0]
    content["test_labels"] = network(x).argmax(1).numpy()
    np.savez(tmp_path / "answered.npz", **content)
    source = dataclasses.replace(request_.checkpoint, data=str(tmp_path / "answered.npz"))
    steps = run(request_, checkpoint=source, options=dataclasses.replace(TWO_LEFT, recover=ONE_EPOCH))["steps"]
    assert request_.output is not None
    reached = opened(request_.output, request_).model(x).argmax(1).numpy() == content["test_labels"]
    assert (steps[0]["accuracy"], steps[-1]["accuracy"]) == (1.0, reached.mean())


def test_a_round_tells_its_budget_and_how_the_cost_fell_to_it(request_: PruneRequest) -> None:
    (row,) = run(request_)["rounds"]
    assert row["budget"] == {"unit": "macs", "limit": 4920, "whole": 7528}
    assert (row["cost"], row["note"]) == (4916, "")
    parts = [1.0, *(step["cost"] for step in row["curve"])]
    assert parts == sorted(parts, reverse=True)
    assert parts[-1] == 4916 / 7528


def test_the_training_of_each_round_is_told(request_: PruneRequest) -> None:
    options = dataclasses.replace(TWO_LEFT, steps=2, recover=ONE_EPOCH)
    rounds = run(request_, options=options)["rounds"]
    assert [len(row["training"]["curve"]) for row in rounds] == [1, 1]
    assert rounds[0]["training"]["options"] == dataclasses.asdict(ONE_EPOCH)
    limits = [row["budget"]["limit"] for row in rounds]
    assert limits == pytest.approx([(7528 * 4920) ** 0.5, 4920])  # equal factors


def test_what_cannot_be_pruned_is_told_with_its_reason(request_: PruneRequest) -> None:
    assert run(request_)["refused"] == {"4": "its outputs are the network's"}


def test_versions_seed_and_warnings_are_told(request_: PruneRequest) -> None:
    manifest = run(request_, seed=5)
    assert {"attendc", "torch", "torch-pruning"} <= manifest["versions"].keys()
    assert (manifest["command"], manifest["seed"], manifest["warnings"]) == ("prune", 5, [])


def test_a_last_step_that_goes_too_far_is_a_warning(request_: PruneRequest) -> None:
    manifest = run(request_, options=dataclasses.replace(TWO_LEFT, amount="6k"))  # 1 - 4916 / 6000 = 18.1 %
    assert manifest["warnings"] == ["the smallest last step went 18.1% below the budget"]
    assert manifest["rounds"][0]["note"] == manifest["warnings"][0]


def test_how_far_a_round_before_the_last_goes_is_no_warning(request_: PruneRequest) -> None:
    """Half way, 6086 MACs are asked for and 4916 are left, which are what the whole budget asks for."""
    manifest = run(request_, options=dataclasses.replace(TWO_LEFT, steps=2))
    assert [row["note"][:22] for row in manifest["rounds"]] == ["the smallest last step", ""]
    assert manifest["warnings"] == []


# The same again


@pytest.mark.parametrize("recover", [None, ONE_EPOCH])
def test_the_same_seed_gives_the_same_files(
    request_: PruneRequest, tmp_path: Path, recover: TrainOptions | None
) -> None:
    options = dataclasses.replace(TWO_LEFT, recover=recover)
    outputs = [tmp_path / "out" / f"{name}.safetensors" for name in "ab"]
    for output in outputs:
        run(request_, output=output, seed=3, options=options)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    plans = [output.with_suffix(".plan.json").read_bytes() for output in outputs]
    assert plans[0] == plans[1]


def test_another_seed_recovers_to_other_weights(request_: PruneRequest, tmp_path: Path) -> None:
    options = dataclasses.replace(TWO_LEFT, recover=ONE_EPOCH)
    outputs = [tmp_path / "out" / f"{name}.safetensors" for name in "ab"]
    for seed, output in enumerate(outputs):
        run(request_, output=output, seed=seed, options=options)
    first, second = (read_weights(output).tensors["1.0.weight"] for output in outputs)
    assert first.shape == second.shape == (2, 4, 3, 3)
    assert not torch.equal(first, second)


# Pruning again


def test_pruning_twice_is_one_surgery_in_the_spec(tmp_path: Path, small_npz: Path) -> None:
    """The block goes first, then half of the layer before it."""
    source = CheckpointRequest(saved(tmp_path, "residual"), model="nets:small", data=str(small_npz))
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    by_hand = PruneOptions("", importance="l2", keep={"1": 0.0}, guard=())
    prune_checkpoint(PruneRequest(source, first, by_hand), Context())
    by_hand = dataclasses.replace(by_hand, keep={"0": 0.5})
    prune_checkpoint(PruneRequest(dataclasses.replace(source, path=first), second, by_hand), Context())
    found = open_checkpoint(dataclasses.replace(source, path=second))
    surgery = found.spec.architecture.surgery
    assert surgery.removed == ("1",)
    assert surgery.layers == {"0": (2, 1, 1), "4": (10, 2, 1)}
    assert [step["step"] for step in found.spec.history] == ["prune", "prune"]
    assert costs(found) == (2 * 9 * 64 + 2 * 10, 2 * 10 + 3 * 10)


def test_pruning_twice_starts_from_what_the_first_time_left(request_: PruneRequest, tmp_path: Path) -> None:
    run(request_)
    assert request_.output is not None
    again = dataclasses.replace(request_.checkpoint, path=request_.output)
    manifest = run(
        request_,
        checkpoint=again,
        output=tmp_path / "out" / "y.safetensors",
        options=dataclasses.replace(TWO_LEFT, amount="0.75"),  # of 4916: 3610, one channel, is 0.734 of them
    )
    assert [row["macs"] for row in manifest["steps"]] == [4916, 3610, 3610]
    assert manifest["plan"]["layers"]["1.0"]["of"] == 2
    assert costs(opened(tmp_path / "out" / "y.safetensors", request_)) == (3610, 98)


def test_the_plan_of_several_rounds_counts_channels_of_the_network_as_it_was(
    request_: PruneRequest, tmp_path: Path
) -> None:
    """So the weights that stay of the first layer are found in the original at the places that the plan names."""
    kept = run(request_, options=PruneOptions("", keep={"0": 0.25}, steps=2))["plan"]["layers"]["0"]
    assert request_.output is not None
    before, after = read_weights(request_.checkpoint.path).tensors, read_weights(request_.output).tensors
    assert (kept["of"], len(kept["keep"])) == (4, 1)
    assert torch.equal(after["0.weight"], before["0.weight"][kept["keep"]])


# Who can read it


@pytest.fixture(scope="module")
def pruned_tiny(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a member of the family without its block `stages.1.1` and with half of another layer."""
    folder = tmp_path_factory.mktemp("tiny")
    spec = dataclasses.replace(SPEC, data=str(small_npz))
    save_checkpoint(folder / "tiny.safetensors", settle(tiny()), spec)
    source = CheckpointRequest(folder / "tiny.safetensors")
    by_hand = PruneOptions("", importance="l2", keep={"stages.1.1": 0.0, "stages.2.1.stack.0.0": 0.5})
    prune_checkpoint(PruneRequest(source, folder / "x.safetensors", by_hand), Context())
    return folder / "x.safetensors"


def test_a_member_of_the_family_opens_without_a_word(pruned_tiny: Path) -> None:
    found = open_checkpoint(CheckpointRequest(pruned_tiny))
    assert type(found.model) is type(tiny())
    assert isinstance(found.model.get_submodule("stages.1.1"), torch.nn.Identity)
    convolution = found.model.get_submodule("stages.2.1.stack.0.0")
    assert isinstance(convolution, torch.nn.Conv2d)
    assert (convolution.out_channels, convolution.in_channels) == (4, 16)
    assert found.model(torch.zeros(2, *PREPROCESS.input_shape)).shape == (2, 10)


def test_inspect_tells_what_it_costs_now(pruned_tiny: Path) -> None:
    told = inspect_file(CheckpointRequest(pruned_tiny))
    manifest = json.loads(pruned_tiny.with_suffix(".manifest.json").read_text())
    assert (told["macs"], told["params"]) == (manifest["steps"][-1]["macs"], manifest["steps"][-1]["params"])
    assert told["params"] < count_params(tiny())


def test_it_can_be_pruned_again(pruned_tiny: Path, tmp_path: Path) -> None:
    options = PruneOptions("params", "0.9", importance="l2")
    manifest = prune_checkpoint(
        PruneRequest(CheckpointRequest(pruned_tiny), tmp_path / "y.safetensors", options), Context()
    )
    surgery = open_checkpoint(CheckpointRequest(tmp_path / "y.safetensors")).spec.architecture.surgery
    assert surgery.removed[0] == "stages.1.1"
    assert manifest["steps"][-1]["params"] <= 0.9 * manifest["steps"][0]["params"]


@pytest.mark.slow
def test_it_can_be_quantized_and_what_comes_of_it_is_proven(pruned_tiny: Path, tmp_path: Path) -> None:
    to = {"formats": ("onnx",), "dtypes": ("int8",), "gates": Gates(0.9, 100)}
    request = QuantizeRequest(CheckpointRequest(pruned_tiny), tmp_path / "q", calib=8, **to)  # type: ignore[arg-type]
    manifest = quantize_checkpoint(request, Context())
    assert manifest["verification"]["scales_equal"] is True
    assert [step["step"] for step in manifest["history"]] == ["prune", "ptq"]
    assert manifest["model"]["params"] == inspect_file(CheckpointRequest(pruned_tiny))["params"]


@pytest.mark.slow
def test_it_can_be_converted(pruned_tiny: Path, tmp_path: Path) -> None:
    convert_source(ConvertRequest(CheckpointRequest(pruned_tiny), tmp_path / "c", formats=("onnx",)), Context())
    assert (tmp_path / "c" / "model.float32.onnx").is_file()


def test_a_network_of_the_user_s_own_asks_for_its_factory_only(request_: PruneRequest) -> None:
    run(request_)
    assert request_.output is not None
    with pytest.raises(CheckpointError, match=r"repeat the command with --model nets:small"):
        open_checkpoint(CheckpointRequest(request_.output))
    found = open_checkpoint(CheckpointRequest(request_.output, model="nets:small"))
    assert costs(found) == (4916, 146)


def test_a_checkpoint_without_a_spec_has_one_when_it_is_pruned(tmp_path: Path) -> None:
    torch.save({"state_dict": small("conv_bn_relu").state_dict()}, tmp_path / "plain.pt")
    source = CheckpointRequest(
        tmp_path / "plain.pt",
        model="nets:small",
        model_args={"middle": "conv_bn_relu"},
        input_shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.25,),
    )
    options = dataclasses.replace(TWO_LEFT, importance="l2")
    manifest = prune_checkpoint(PruneRequest(source, tmp_path / "x.safetensors", options), Context())
    assert manifest["warnings"] == ["weights taken from 'state_dict'"]
    found = open_checkpoint(CheckpointRequest(tmp_path / "x.safetensors", model="nets:small"))
    assert found.spec.architecture.args == {"middle": "conv_bn_relu"}
    assert (found.spec.preprocess.mean, found.spec.preprocess.std) == ((0.5,), (0.25,))
    assert costs(found) == (4916, 146)
