"""`attendc prune` by a plan of the user's, without data, and what it refuses: then nothing is written.

The networks are those of test_prune.py; `grouped` has two columns in its layers `0` and `1`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_disk import files_of_at_most
from nets import SMALL_SPEC, small

from attendc.checkpoint import read_weights, save_checkpoint
from attendc.compress.pruning.prune import PruneOptions
from attendc.context import Context
from attendc.errors import AttendcError, CheckpointError, DataError, OutputError, UsageError
from attendc.jobs.prune import PruneRequest, prune_checkpoint
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.train import TrainOptions
from attendc.types import Architecture, Surgery

Manifest = dict[str, Any]

TWO_LEFT = PruneOptions("macs", "4.92k", recover=None)  # of the channels of `1.0`
WITHOUT_BUDGET = PruneOptions("", recover=None)
ONE_EPOCH = TrainOptions(epochs=1, batch_size=16, lr=4e-3)


def request_of(middle: str, folder: Path, data: Path) -> PruneRequest:
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": middle}))
    save_checkpoint(folder / f"{middle}.safetensors", small(middle), spec)
    (folder / "out").mkdir()
    source = CheckpointRequest(folder / f"{middle}.safetensors", model="nets:small", data=str(data))
    return PruneRequest(source, folder / "out" / "x.safetensors", TWO_LEFT)


@pytest.fixture
def request_(tmp_path: Path, small_npz: Path) -> PruneRequest:
    """Ask for two of the channels of `1.0`, without recovery."""
    return request_of("conv_bn_relu", tmp_path, small_npz)


@pytest.fixture
def columns(tmp_path: Path, small_npz: Path) -> PruneRequest:
    """Ask for something of a network whose layers have two columns."""
    return request_of("grouped", tmp_path, small_npz)


def run(request: PruneRequest, **changed: Any) -> Manifest:
    return prune_checkpoint(dataclasses.replace(request, **changed), Context())


def by_plan(request: PruneRequest, plan: object, **changed: Any) -> Manifest:
    """Prune by a plan, given as text or as what becomes JSON."""
    path = request.checkpoint.path.with_name("plan.json")
    path.write_text(plan if isinstance(plan, str) else json.dumps(plan))
    return run(request, plan=path, **{"options": WITHOUT_BUDGET, **changed})


def plan_of(**keep: list[Any]) -> dict[str, Any]:
    return {"version": 1, "blocks_removed": [], "layers": {n[1:]: {"of": 4, "keep": k} for n, k in keep.items()}}


def surgery_of(request: PruneRequest) -> Surgery:
    assert request.output is not None
    found = open_checkpoint(dataclasses.replace(request.checkpoint, path=request.output))
    return found.spec.architecture.surgery


def left(request: PruneRequest) -> list[str]:
    assert request.output is not None
    return sorted(p.name for p in request.output.parent.iterdir())


# A plan of the user's


def test_the_plan_that_a_choice_would_make_gives_the_same_network(request_: PruneRequest, tmp_path: Path) -> None:
    """Down to the bytes of the weights: what is kept of a plan is all that the choice decides."""
    chosen = tmp_path / "chosen.plan.json"
    told = run(request_, plan_only=True, output=chosen)
    assert left(request_) == []
    run(request_)
    assert request_.output is not None
    again = request_.output.with_name("again.safetensors")
    run(request_, plan=chosen, output=again, options=WITHOUT_BUDGET)
    first, second = (read_weights(path).tensors for path in (request_.output, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert json.loads(chosen.read_text()) == told["plan"]


def test_a_plan_with_one_channel_fewer_gives_a_network_with_one_fewer(request_: PruneRequest, tmp_path: Path) -> None:
    plan = run(request_, output=None, plan_only=True)["plan"]
    keep = plan["layers"]["1.0"]["keep"]
    assert len(keep) == 2
    del keep[0]
    by_plan(request_, plan)
    assert surgery_of(request_).layers == {"1.0": (1, 4, 1), "1.1": (1, 1, 1), "4": (10, 1, 1)}


def test_the_order_of_the_channels_in_a_plan_means_nothing(request_: PruneRequest) -> None:
    by_plan(request_, plan_of(_0=[3, 1, 1]))
    assert request_.output is not None
    before, after = read_weights(request_.checkpoint.path).tensors, read_weights(request_.output).tensors
    assert torch.equal(after["0.weight"], before["0.weight"][[1, 3]])


def test_a_plan_needs_no_images(request_: PruneRequest) -> None:
    """Nothing is weighed, so the default importance by Taylor asks for none."""
    source = dataclasses.replace(request_.checkpoint, path=without_data(request_), data="")
    manifest = by_plan(request_, plan_of(_0=[0]), checkpoint=source)
    assert [row["step"] for row in manifest["steps"]] == ["as it was", "pruned"]


@pytest.mark.parametrize(
    ("keep", "text"),
    [
        ([0, 1, 2], r"keeps 3 of 4 channels of 0, not as many in each column\. Each of its 2 columns"),
        ([0, 1], "not as many in each column"),
        ([], "keeps 0 of 4 channels of 0"),
    ],
)
def test_columns_that_are_not_equal_are_refused_with_the_name_of_the_layer(
    columns: PruneRequest, keep: list[int], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        by_plan(columns, plan_of(_0=keep))
    assert left(columns) == []


def test_equal_columns_are_not(columns: PruneRequest) -> None:
    by_plan(columns, plan_of(_0=[1, 2]))
    assert surgery_of(columns).layers == {"0": (2, 1, 1), "1": (4, 2, 2)}


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ('{"version": 1, "blocks', "the plan cannot be read: JSONDecodeError"),
        ("", "the plan cannot be read"),
        ([], r"the plan cannot be read: .*attendc prune --plan-only writes one"),
        ({"layers": {}}, "the plan cannot be read: KeyError: 'version'"),
        ({"version": 2}, "the plan has version 2, this attendc reads 1"),
        ({"version": 1, "blocks_removed": ["1"], "layers": {}}, r"the plan removes 1, which is no block"),
        (plan_of(_9=[0]), r"the plan prunes 9, which cannot be pruned\. Layers are 0, 1\.0"),
        (plan_of(_4=[0]), r"the plan prunes 4, which cannot be pruned\. its outputs are the network's"),
    ],
)
def test_a_damaged_plan_is_refused(request_: PruneRequest, plan: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        by_plan(request_, plan)
    assert left(request_) == []


@pytest.mark.parametrize(
    ("keep", "of", "text"),
    [
        ([0, 4], 4, r"the plan keeps channel 4 of 0, which has 4\. They are counted from 0 to 3"),
        ([-1, 0], 4, "the plan keeps channel -1 of 0, which has 4"),
        ([-1], 4, "the plan keeps channel -1 of 0"),
        ([0.5, 1], 4, r"the plan cannot be read: .*0\.5 is no channel"),
        (["0"], 4, "the plan cannot be read: .*'0' is no channel"),
        ([0, 1], 8, r"the plan is of 8 channels of 0, which has 4\. It was made for another network"),
    ],
)
def test_channels_that_are_not_there_are_refused(request_: PruneRequest, keep: list[Any], of: int, text: str) -> None:
    plan = plan_of(_0=keep)
    plan["layers"]["0"]["of"] = of
    with pytest.raises(UsageError, match=text):
        by_plan(request_, plan)
    assert left(request_) == []


def test_a_plan_that_is_not_there_is_told(request_: PruneRequest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json cannot be read: .*No such file"):
        run(request_, plan=tmp_path / "none.json", options=WITHOUT_BUDGET)
    assert left(request_) == []


# Without data


def without_data(request: PruneRequest) -> Path:
    """Return the same checkpoint, which knows of no data."""
    path = request.checkpoint.path.with_name("no-data.safetensors")
    spec = dataclasses.replace(open_checkpoint(request.checkpoint).spec, data="")
    save_checkpoint(path, small("conv_bn_relu"), spec)
    return path


def test_without_data_the_largest_weights_stay_and_nothing_is_measured(request_: PruneRequest) -> None:
    source = dataclasses.replace(request_.checkpoint, path=without_data(request_), data="")
    manifest = run(request_, checkpoint=source, options=dataclasses.replace(TWO_LEFT, importance="l2"))
    weight = read_weights(source.path).tensors["1.0.weight"]
    strongest = weight.flatten(1).norm(dim=1).topk(2).indices.sort().values.tolist()
    assert len(strongest) == len(manifest["plan"]["layers"]["1.0"]["keep"]) == 2
    assert manifest["inputs"]["data"] == ""
    assert [sorted(row) for row in manifest["steps"]] == [["macs", "params", "step"]] * 2


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, r"the importance taylor needs images\. Add --data, or --importance l2 --epochs 0"),
        ({"importance": "activation"}, "the importance activation"),
        ({"importance": "l2", "recover": ONE_EPOCH}, "recovery needs images"),
        ({"importance": "l2", "sensitivity": True}, "sensitivity needs images"),
    ],
)
def test_without_data_what_needs_images_is_refused(request_: PruneRequest, changed: dict[str, Any], text: str) -> None:
    source = dataclasses.replace(request_.checkpoint, path=without_data(request_), data="")
    with pytest.raises(DataError, match=text):
        run(request_, checkpoint=source, options=dataclasses.replace(TWO_LEFT, **changed))
    assert left(request_) == []


# What fails, leaving nothing


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        (
            {"amount": "3k"},
            UsageError,
            r"the budget macs=3k cannot be met: nothing more can go: 3,610 macs are left, 3,000 .*guard less than 0 ",
        ),
        ({"amount": "8k"}, UsageError, "macs=8k is not below the 7,528 of this network"),
        ({"amount": "half"}, UsageError, "macs=half is no budget"),
        ({"unit": "grams"}, UsageError, "no budget is counted in 'grams'. Budgets are macs, params, bytes"),
        ({"unit": ""}, UsageError, "nothing says how much to prune"),
        ({"keep": {"4": 0.5}}, UsageError, "4 cannot be pruned: its outputs are the network's"),
        ({"keep": {"convolution": 0.5}}, UsageError, "convolution cannot be pruned: the network has no such layer"),
        ({"keep": {"1.0": 0.0}}, UsageError, "--keep 1.0=0: a part is between 0 and 1"),
        ({"guard": ("stem",)}, UsageError, "--guard stem: the network has no such layer"),
        ({"steps": 0}, UsageError, "steps is 0"),
        ({"importance": "bn"}, UsageError, "the importance bn finds nothing to go by in 0"),
        ({"recover": TrainOptions(epochs=1, batch_size=61)}, DataError, "57 training images make no batch of 61"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    request_: PruneRequest, changed: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    with pytest.raises(error, match=text):
        run(request_, options=dataclasses.replace(TWO_LEFT, **changed))
    assert left(request_) == []


@pytest.mark.parametrize("plan_only", [False, True])
def test_data_with_more_classes_than_outputs_is_refused(
    request_: PruneRequest, tmp_path: Path, *, plan_only: bool
) -> None:
    """A checkpoint without a Spec names no classes, so the network itself is asked."""
    torch.save(small("conv_bn_relu").state_dict(), tmp_path / "plain.pt")
    np.savez(tmp_path / "many.npz", images=np.zeros((24, 8, 8), np.uint8), labels=np.arange(24) % 12)
    source = CheckpointRequest(
        tmp_path / "plain.pt",
        model="nets:small",
        model_args={"middle": "conv_bn_relu"},
        input_shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.25,),
        data=str(tmp_path / "many.npz"),
    )
    with pytest.raises(DataError, match=r"many\.npz has 12 classes, the network has 10 outputs"):
        run(request_, checkpoint=source, plan_only=plan_only, output=None if plan_only else request_.output)
    assert left(request_) == []


def test_an_input_that_the_network_does_not_take_is_named(request_: PruneRequest) -> None:
    source = dataclasses.replace(request_.checkpoint, input_shape=(3, 8, 8), mean=(0.5,), std=(0.25,))
    with pytest.raises(CheckpointError, match=r"does not take an input of shape \(2, 3, 8, 8\): .*--input-shape CxHxW"):
        run(request_, checkpoint=source)
    assert left(request_) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("recover", [None, ONE_EPOCH])
def test_a_gpu_that_is_not_there_is_refused(request_: PruneRequest, recover: TrainOptions | None) -> None:
    request = dataclasses.replace(request_, options=dataclasses.replace(TWO_LEFT, recover=recover))
    with pytest.raises(UsageError, match=r"no CUDA device is available\. Use --device cpu"):
        prune_checkpoint(request, Context(device="cuda"))
    assert left(request_) == []


@pytest.mark.parametrize("existing", ["x.safetensors", "x.plan.json", "x.manifest.json"])
def test_none_of_the_three_is_replaced_without_force(request_: PruneRequest, existing: str) -> None:
    assert request_.output is not None
    (request_.output.parent / existing).write_text("precious")
    with pytest.raises(OutputError, match=rf"{existing} exists already\. Add --force"):
        run(request_)
    assert left(request_) == [existing]
    assert (request_.output.parent / existing).read_text() == "precious"
    run(request_, force=True)
    assert left(request_) == ["x.manifest.json", "x.plan.json", "x.safetensors"]
    assert (request_.output.parent / existing).read_bytes() != b"precious"


def test_what_was_there_stays_when_a_forced_run_fails(request_: PruneRequest) -> None:
    run(request_)
    assert request_.output is not None
    before = {p.name: p.read_bytes() for p in request_.output.parent.iterdir()}
    with pytest.raises(UsageError, match="cannot be met"):
        run(request_, options=dataclasses.replace(TWO_LEFT, amount="3k"), force=True)
    assert {p.name: p.read_bytes() for p in request_.output.parent.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_refused(request_: PruneRequest) -> None:
    assert request_.output is not None
    request_.output.parent.chmod(0o500)
    with pytest.raises(OutputError, match="no permission in"):
        run(request_)
    assert left(request_) == []


def test_without_an_output_nothing_can_be_written(request_: PruneRequest) -> None:
    with pytest.raises(OutputError, match=r"no output is named\. Add -o pruned\.safetensors"):
        run(request_, output=None)


def test_a_plan_alone_can_be_looked_at_without_an_output(request_: PruneRequest) -> None:
    told = run(request_, output=None, plan_only=True)
    assert (told["cost"], told["part"], told["written"]) == (4916, 4916 / 7528, None)
    assert left(request_) == []


def test_a_disk_that_is_full_before_the_manifest_leaves_nothing(request_: PruneRequest, tmp_path: Path) -> None:
    """The manifest is the largest of the three, and files may become as large as the checkpoint only."""
    options = dataclasses.replace(TWO_LEFT, steps=2, recover=ONE_EPOCH)
    run(request_, output=tmp_path / "y.safetensors", options=options)
    sizes = [(tmp_path / f"y.{what}").stat().st_size for what in ("safetensors", "plan.json", "manifest.json")]
    assert sizes[2] > sizes[0] + 500 > sizes[1] + 500
    refused = pytest.raises(OutputError, match=r"cannot write \S*/x\.manifest\.json: File too large")
    with files_of_at_most(sizes[0]), refused:
        run(request_, options=options)
    assert left(request_) == []
