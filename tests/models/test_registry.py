"""From a name to a network: presets, arguments, and code of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from nets import ARCHITECTURE
from torch import nn

from attendc.errors import CheckpointError, UsageError
from attendc.models.attendnext import PRESETS, AttendNeXt
from attendc.models.registry import build, input_of, resolve
from attendc.types import Architecture

FACTORIES = """
from torch import nn

def small(width=2):
    return nn.Linear(3, width)

def broken():
    raise RuntimeError("no such backbone")

def text():
    return "a network"
"""


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a module `user_nets` of the user's into the current folder."""
    (tmp_path / "user_nets.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "user_nets", raising=False)
    return tmp_path


# Names


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_spelled_out_so_that_it_may_change_later(preset: str) -> None:
    architecture = resolve(preset, {})
    with torch.device("meta"):
        model = build(architecture)
    assert architecture.factory == "attendnext"
    assert isinstance(model, AttendNeXt)
    assert model.config == PRESETS[preset]


@pytest.mark.parametrize("preset", ["attendnext_nano", "attendnext_nano_arm"])
def test_the_inputs_of_presets_fit_their_networks(preset: str) -> None:
    with torch.device("meta"):
        assert build(resolve(preset, {})).eval()(torch.empty(1, *input_of(preset))).shape == (1, 10)


def test_arguments_and_classes_replace_what_the_preset_says() -> None:
    args = resolve("attendnext_nano", {"gate": "softmax", "depths": [1, 1, 1, 1]}, classes=3).args
    assert (args["gate"], args["depths"], args["classes"]) == ("softmax", [1, 1, 1, 1], 3)


def test_a_preset_is_not_changed_by_arguments() -> None:
    resolve("attendnext_nano", {"gate": "softmax"}, classes=3)
    assert (PRESETS["attendnext_nano"].gate, PRESETS["attendnext_nano"].classes) == ("sigmoid", 10)


@pytest.mark.parametrize("typo", ["attendnext_nan", "atendnext_nano"])
def test_a_misspelt_preset_is_corrected(typo: str) -> None:
    with pytest.raises(UsageError, match=rf"no model '{typo}'\. Did you mean attendnext_nano\?"):
        resolve(typo, {})


def test_a_name_like_nothing_gets_the_list_of_presets() -> None:
    with pytest.raises(UsageError, match=r"no model 'resnet50'\. Presets: attendnext_xa, attendnext, att"):
        resolve("resnet50", {})


def test_an_unknown_argument_is_named_beside_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"attendnext_nano has no gates\. It takes widths, .*gate, "):
        resolve("attendnext_nano", {"gates": "softmax"})


# Arguments that build nothing


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gate", "tanh"),
        ("activation", "gelu"),
        ("columns", 3),
        ("depths", [1, 1, 1, 1, 1]),
        ("widths", [4, 8]),
        ("widths", 8),
        ("stem_width", -4),
        ("classes", "ten"),
    ],
)
def test_an_argument_that_builds_nothing_is_named(name: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=f"cannot build .*{name}"):
        build(Architecture("attendnext", {**ARCHITECTURE.args, name: value}))


def test_an_architecture_of_a_later_version_is_named() -> None:
    with pytest.raises(CheckpointError, match="knows no architecture 'attendnext_v9'"):
        build(Architecture("attendnext_v9"))


# Code of the user's own


@pytest.mark.usefixtures("user_code")
def test_a_factory_in_the_current_folder_is_called_with_its_arguments() -> None:
    model = build(resolve("user_nets:small", {"width": 5}), allow_foreign=True)
    assert isinstance(model, nn.Linear)
    assert model.out_features == 5


@pytest.mark.usefixtures("user_code")
def test_a_factory_is_not_imported_unless_allowed() -> None:
    with pytest.raises(CheckpointError, match=r"asks to import user_nets:small.*repeat the command with --model"):
        build(Architecture("user_nets:small"))
    assert "user_nets" not in sys.modules


@pytest.mark.usefixtures("user_code")
@pytest.mark.parametrize(
    ("factory", "text"),
    [
        ("user_nets:broken", "--model user_nets:broken failed: RuntimeError: no such backbone"),
        ("user_nets:absent", "--model user_nets:absent failed: AttributeError: .*absent"),
        ("no_such_module:make", "--model no_such_module:make failed: ModuleNotFoundError: .*no_such_module"),
        ("user_nets:", "--model user_nets: failed"),
        ("user_nets:text", r"--model user_nets:text returned str, not a torch\.nn\.Module"),
        ("user_nets:nn", "--model user_nets:nn failed: TypeError"),
    ],
)
def test_a_factory_that_fails_is_named_with_its_reason(factory: str, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        build(Architecture(factory), allow_foreign=True)


@pytest.mark.usefixtures("user_code")
def test_a_wrong_argument_of_a_factory_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"user_nets:small failed: TypeError: .*'depth'"):
        build(Architecture("user_nets:small", {"depth": 5}), allow_foreign=True)
