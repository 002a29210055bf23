"""From what was typed about a checkpoint to a network with its Spec."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import ARCHITECTURE, NANO, SMALL, SMALL_SPEC, SPEC, TINY, raw, small, tiny

from attendc.checkpoint import save_checkpoint
from attendc.errors import AttendcError, CheckpointError, DataError, UsageError
from attendc.opening import CheckpointRequest, check_outputs, open_checkpoint, open_dataset
from attendc.types import Architecture

GREY = {"mean": (0.5,), "std": (0.25,), "input_shape": (1, 8, 8)}
RELU = {"model": "nets:small", "model_args": {"middle": "conv_bn_relu"}}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Return a checkpoint with a Spec."""
    save_checkpoint(tmp_path / "ours.safetensors", tiny(), SPEC.after(step="train"))
    return tmp_path / "ours.safetensors"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a plain state_dict."""
    torch.save(small("conv_bn_relu").state_dict(), tmp_path / "foreign.pt")
    return tmp_path / "foreign.pt"


def test_a_checkpoint_of_ours_needs_no_other_option(ours: Path) -> None:
    opened = open_checkpoint(CheckpointRequest(ours))
    assert opened.spec == SPEC.after(step="train")
    assert not opened.model.training
    assert torch.equal(opened.model.state_dict()["head.weight"], tiny().state_dict()["head.weight"])


def test_the_shipped_checkpoint_opens_with_its_data() -> None:
    opened = open_checkpoint(CheckpointRequest(NANO))
    assert open_dataset(opened.spec, seed=0).labels == opened.spec.labels


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"mean": (0.1,)}, {"mean": (0.1,)}),
        ({"std": (0.1,)}, {"std": (0.1,)}),
        ({"fit": "crop"}, {"fit": "crop"}),
        ({"input_shape": (1, 24, 20)}, {"channels": 1, "height": 24, "width": 20}),
    ],
)
def test_what_is_given_wins_over_the_spec(ours: Path, given: dict[str, Any], changed: dict[str, Any]) -> None:
    opened = open_checkpoint(CheckpointRequest(ours, **given))
    assert opened.spec.preprocess == dataclasses.replace(SPEC.preprocess, **changed)


def test_the_data_that_is_given_wins_over_the_spec(ours: Path) -> None:
    assert open_checkpoint(CheckpointRequest(ours, data="elsewhere")).spec.data == "elsewhere"


def test_a_model_that_is_given_keeps_data_labels_and_history_of_the_spec(ours: Path) -> None:
    opened = open_checkpoint(CheckpointRequest(ours, model="attendnext_nano", model_args=TINY))
    assert dataclasses.replace(opened.spec, architecture=ARCHITECTURE) == SPEC.after(step="train")


def test_a_foreign_factory_named_in_a_spec_is_called_with_the_spec_s_arguments(tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": "silu"}))
    save_checkpoint(tmp_path / "x.safetensors", small("silu"), spec)
    opened = open_checkpoint(CheckpointRequest(tmp_path / "x.safetensors", model="nets:small"))
    assert type(opened.model[1]) is torch.nn.SiLU  # type: ignore[index]


def test_a_foreign_checkpoint_gets_all_from_the_command(foreign: Path) -> None:
    opened = open_checkpoint(CheckpointRequest(foreign, **RELU, **GREY, fit="pad"))
    preprocess = dataclasses.replace(SMALL, mean=(0.5,), std=(0.25,), fit="pad")
    assert opened.spec.preprocess == preprocess
    assert (opened.spec.labels, opened.spec.data) == ((), "")


def test_a_foreign_checkpoint_is_taken_for_a_color_image_of_224_unless_told(foreign: Path) -> None:
    opened = open_checkpoint(CheckpointRequest(foreign, **RELU, mean=(0.5,), std=(0.5,)))
    assert opened.spec.preprocess.input_shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({}, CheckpointError, r"does not say which network .* Add --model PRESET"),
        (RELU, DataError, r"preprocessing .* not known\. Add --mean and --std"),
        ({**RELU, "mean": (0.5,)}, DataError, r"--mean 0\.485,0\.456,0\.406 --std 0\.229"),
        ({**RELU, "input_shape": (1, 8, 8)}, DataError, r"for example --mean 0\.5 --std 0\.5$"),
        ({**RELU, **GREY, "mean": (0.5, 0.5)}, DataError, "--mean has 2 values for 1 channels"),
        ({**RELU, **GREY, "std": (0.5, 0.5, 0.5)}, DataError, "--std has 3 values for 1 channels"),
        ({**GREY, "model": "attendnext_nana"}, UsageError, "Did you mean attendnext_nano"),
        ({**GREY, "model": "attendnext_nano"}, CheckpointError, r"the weights do not fit attendnext: \d+ missing"),
        ({**GREY, "model": "nets:nothing"}, CheckpointError, "--model nets:nothing failed: AttributeError"),
        ({**GREY, "model": "nets:small"}, CheckpointError, "missing 1 required positional argument: 'middle'"),
    ],
)
def test_what_is_not_known_of_a_foreign_checkpoint_is_asked_for(
    foreign: Path, given: dict[str, Any], error: type[AttendcError], text: str
) -> None:
    with pytest.raises(error, match=text):
        open_checkpoint(CheckpointRequest(foreign, **given))


# A model without a checkpoint


def test_a_preset_without_a_checkpoint_has_its_classes_and_input_and_says_that_it_is_random() -> None:
    opened = open_checkpoint(CheckpointRequest(model="attendnext_nano", classes=7), seed=3)
    assert opened.spec.architecture.args["classes"] == 7
    assert opened.spec.preprocess.input_shape == (1, 32, 32)
    assert (opened.spec.labels, opened.spec.data) == ((), "")
    assert opened.spec.history == ({"step": "random weights", "seed": 3},)
    assert opened.weights.origin == "random (seed 3), not trained"
    assert opened.weights.notes == ("weights: random (seed 3), not trained",)
    assert opened.weights.sha256 == ""


def test_the_file_of_a_preset_says_size_and_classes_of_a_network_without_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"family: attendnext\ninput_size: [16, 20]\nconfig: {json.dumps(TINY)}\n")
    request = CheckpointRequest(model=str(path), classes=7)
    opened = open_checkpoint(request)
    assert (opened.spec.preprocess.input_shape, request.name) == ((1, 16, 20), "mine")
    assert opened.model(torch.zeros(1, 1, 16, 20)).shape == (1, 7)


def test_a_factory_without_a_checkpoint_takes_the_input_that_is_given() -> None:
    opened = open_checkpoint(CheckpointRequest(**RELU, input_shape=(1, 8, 8), data="mine"))
    assert opened.spec.preprocess == dataclasses.replace(SMALL, mean=(0.5,), std=(0.5,))
    assert opened.spec.data == "mine"


def test_a_preset_of_one_channel_gets_images_of_one() -> None:
    opened = open_checkpoint(CheckpointRequest(model="attendnext_nano", model_args={"in_channels": 3}))
    assert opened.spec.preprocess.input_shape == (3, 32, 32)
    assert opened.spec.preprocess.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, r"neither a checkpoint nor a model is given\. Give a checkpoint, or --model PRESET"),
        ({"classes": 7}, "neither a checkpoint nor a model is given"),
        ({**RELU, "classes": 7}, r"classes=7 is of presets.* --model-arg num_classes=7"),
        ({**RELU, "weights_key": "ema"}, "--weights-key means nothing without a checkpoint"),
        ({**RELU, "trust": True}, "--trust-checkpoint means nothing without a checkpoint"),
        ({"path": NANO, "classes": 7}, r"classes=7 is of a preset without a checkpoint.*--model-arg classes=N"),
    ],
)
def test_what_a_model_without_a_checkpoint_cannot_have(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_checkpoint(CheckpointRequest(**given))


def test_a_foreign_factory_is_not_imported_because_a_checkpoint_says_so(small_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="repeat the command with --model nets:small"):
        open_checkpoint(CheckpointRequest(small_checkpoint))


def test_no_data_known_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"no data is known for this checkpoint\. Add --data"):
        open_dataset(dataclasses.replace(SPEC, data=""), seed=0)


def test_data_with_more_classes_than_labels_is_refused() -> None:
    with pytest.raises(DataError, match="fashion-mnist-mini has 10 classes, the network has 7 outputs"):
        open_dataset(dataclasses.replace(SPEC, labels=tuple("abcdefg")), seed=0)


def test_data_with_fewer_classes_than_outputs_is_taken() -> None:
    spec = dataclasses.replace(SPEC, labels=tuple("abcdefghijkl"))
    assert len(open_dataset(spec, seed=0).labels) == 10


def test_a_network_with_fewer_outputs_than_the_data_has_classes_is_refused() -> None:
    spec = dataclasses.replace(SMALL_SPEC, labels=())
    net = small("conv_bn_relu")
    net[-1] = torch.nn.Linear(4, 3)
    with pytest.raises(DataError, match="fashion-mnist-mini has 10 classes, the network has 3 outputs"):
        check_outputs(raw(net), spec, open_dataset(spec, seed=0))
