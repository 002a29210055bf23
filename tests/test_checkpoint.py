"""Checkpoints: what is written comes back, and no file can hurt or slip through half-read."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import ARCHITECTURE, SPEC, TINY, tiny
from safetensors.torch import save_file
from torch import Tensor, nn

from attendc.checkpoint import load_model, read_weights, save_checkpoint, spec_from_json, spec_to_json
from attendc.errors import CheckpointError
from attendc.files import sha256
from attendc.models.registry import resolve
from attendc.types import Architecture, Spec


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def saved(path: Path, content: object, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


class Attack:
    """Runs `touch TARGET` when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


# Round trip


def test_weights_and_spec_come_back_as_they_were_saved(tmp_path: Path) -> None:
    model, spec = tiny(), SPEC.after(step="train", options={"lr": 0.1})
    save_checkpoint(tmp_path / "x.safetensors", model, spec)
    weights = read_weights(tmp_path / "x.safetensors")
    assert equal(weights.tensors, model.state_dict())
    assert weights.spec == spec
    assert weights.sha256 == sha256(tmp_path / "x.safetensors")


def test_a_loaded_network_computes_what_the_saved_one_did(tmp_path: Path) -> None:
    model, x = tiny(seed=3).eval(), torch.rand(2, 1, 16, 16)
    save_checkpoint(tmp_path / "x.safetensors", model, SPEC)
    again = load_model(read_weights(tmp_path / "x.safetensors"), SPEC.architecture)
    assert torch.equal(again(x), model(x))
    assert not again.training


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / f"{name}.safetensors", tiny(), SPEC)
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")


def test_a_preset_s_architecture_survives_json() -> None:
    spec = Spec(resolve("attendnext_nano", {}), SPEC.preprocess, SPEC.labels)
    assert spec_from_json(spec_to_json(spec)) == spec


def test_weights_that_share_memory_can_be_saved(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    save_checkpoint(tmp_path / "x.safetensors", tied, SPEC)
    assert equal(read_weights(tmp_path / "x.safetensors").tensors, tied.state_dict())


def test_channels_last_weights_come_back_in_order(tmp_path: Path) -> None:
    model = tiny().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_checkpoint(tmp_path / "x.safetensors", model, SPEC)
    assert equal(read_weights(tmp_path / "x.safetensors").tensors, tiny().state_dict())


# Foreign files


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_a_plain_state_dict_is_read(tmp_path: Path, suffix: str, *, new_format: bool) -> None:
    path = saved(tmp_path / f"x{suffix}", tiny().state_dict(), _use_new_zipfile_serialization=new_format)
    weights = read_weights(path)
    assert equal(weights.tensors, tiny().state_dict())
    assert (weights.spec, weights.trusted) == (None, False)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_prefix_of_data_parallel_is_dropped(tmp_path: Path, suffix: str) -> None:
    prefixed = {f"module.{k}": v for k, v in tiny().state_dict().items()}
    path = tmp_path / f"x{suffix}"
    save_file(prefixed, path) if suffix == ".safetensors" else torch.save(prefixed, path)
    assert equal(read_weights(path).tensors, tiny().state_dict())


@pytest.mark.parametrize("key", ["state_dict", "model", "ema"])
def test_a_nested_state_dict_is_found_and_told(tmp_path: Path, key: str) -> None:
    weights = read_weights(saved(tmp_path / "x.pt", {key: tiny().state_dict(), "epoch": 3}))
    assert equal(weights.tensors, tiny().state_dict())
    assert weights.notes == (f"weights taken from {key!r}",)


@pytest.mark.parametrize(("key", "seed"), [("", 1), ("model", 1), ("ema", 2), ("best", 3)])
def test_weights_key_chooses_among_several(tmp_path: Path, key: str, seed: int) -> None:
    held = {name: tiny(seed=i).state_dict() for i, name in enumerate(("model", "ema", "best"), 1)}
    weights = read_weights(saved(tmp_path / "x.pt", held), key=key)
    assert equal(weights.tensors, tiny(seed=seed).state_dict())


def test_the_state_dict_that_was_not_chosen_is_told(tmp_path: Path) -> None:
    held = {"model": tiny().state_dict(), "ema": tiny(seed=1).state_dict()}
    assert read_weights(saved(tmp_path / "x.pt", held)).notes == ("weights taken from 'model', not from ['ema']",)


def test_a_pickled_module_is_read_when_the_user_trusts_it(tmp_path: Path) -> None:
    weights = read_weights(saved(tmp_path / "x.pt", tiny()), trust=True)
    assert equal(weights.tensors, tiny().state_dict())
    assert weights.trusted


def test_a_pickled_module_under_a_key_is_read_when_trusted(tmp_path: Path) -> None:
    weights = read_weights(saved(tmp_path / "x.pt", {"model": tiny(), "epoch": 3}), trust=True)
    assert equal(weights.tensors, tiny().state_dict())


# Files that are refused


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.pt", None, r"no file .*none\.pt\. Check the path"),
        ("empty.safetensors", b"", r"empty\.safetensors is empty"),
        ("empty.pt", b"", r"empty\.pt is empty"),
        ("x.onnx", b"x", r"x\.onnx ends in \.onnx\. A checkpoint is a \.safetensors"),
        ("noend", b"x", "ends in nothing"),
        ("text.pt", b"once upon a time", r"text\.pt is no readable checkpoint"),
        ("text.safetensors", b"once upon a time", r"is no readable \.safetensors"),
        ("pickle.pt", pickle.dumps({"a": 1}), r"pickle\.pt is no readable checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, name: str, content: bytes | None, text: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=text):
        read_weights(tmp_path / name)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a folder. Give the checkpoint file in it"):
        read_weights(tmp_path)


@pytest.mark.parametrize("kept", [4, 100, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_truncated_file_is_no_readable_checkpoint(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".safetensors":
        save_checkpoint(path, tiny(), SPEC)
    else:
        saved(path, tiny().state_dict(), _use_new_zipfile_serialization=suffix == ".pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(CheckpointError, match=r"is no readable (checkpoint|\.safetensors).*copy"):
        read_weights(path)


def write_attack(kind: str, path: Path, target: Path) -> None:
    content = {"state_dict": tiny().state_dict(), "extra": Attack(target)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Attack(target)))
    elif kind == "zip, protocol 4":
        torch.save(content, path, pickle_protocol=4)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "zip, protocol 4", "legacy", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_named(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "x.pt", tmp_path / "owned"
    write_attack(kind, path, target)
    with pytest.raises(CheckpointError, match=f"wants to import {os.name}.system, .*--trust-checkpoint"):
        read_weights(path)
    assert not target.exists()


def test_an_unusual_pickle_of_a_state_dict_is_not_called_an_attack(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", tiny().state_dict(), pickle_protocol=4)
    with pytest.raises(CheckpointError, match=r"not as torch.save writes it by default"):
        read_weights(path)


def test_the_attack_is_real(tmp_path: Path) -> None:
    write_attack("zip", tmp_path / "x.pt", tmp_path / "owned")
    read_weights(tmp_path / "x.pt", trust=True)
    assert (tmp_path / "owned").exists()


def test_a_pickled_module_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"wants to import .*attendc\.models\.attendnext\.AttendNeXt"):
        read_weights(saved(tmp_path / "x.pt", tiny()))


def test_a_trusted_pickle_of_a_class_that_is_gone_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = types.ModuleType("gone_module")
    gone.Net = type("Net", (nn.Linear,), {"__module__": "gone_module"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gone_module", gone)
    path = saved(tmp_path / "x.pt", gone.Net(2, 2))
    monkeypatch.delitem(sys.modules, "gone_module")
    with pytest.raises(CheckpointError, match=r"x\.pt is no readable checkpoint: .*gone_module"):
        read_weights(path, trust=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, suffix: str, value: float) -> None:
    model, path = tiny(), tmp_path / f"x{suffix}"
    model.head.bias.data[3] = value
    save_checkpoint(path, model, SPEC) if suffix == ".safetensors" else torch.save(model.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in head\.bias \(1 tensors\)"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "holds a list, no state_dict"),
        ({"epoch": 3, "loss": 0.1}, "holds 'epoch', 'loss', no state_dict.*--weights-key KEY"),
        ({}, "holds nothing, no state_dict"),
        ({"model": "resnet"}, "holds a str, no state_dict"),
    ],
)
def test_a_file_without_state_dict_says_what_it_holds(tmp_path: Path, content: object, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        read_weights(saved(tmp_path / "x.pt", content))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_weights_key_that_is_not_there_is_not_ignored(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    save_checkpoint(path, tiny(), SPEC) if suffix == ".safetensors" else torch.save(tiny().state_dict(), path)
    with pytest.raises(CheckpointError, match="no 'ema'"):
        read_weights(path, key="ema")


# Weights that do not fit


def test_missing_and_unknown_keys_are_counted_and_the_first_three_named(tmp_path: Path) -> None:
    tensors = {k: v for k, v in tiny().state_dict().items() if not k.startswith("stages.3")}
    weights = read_weights(saved(tmp_path / "x.pt", tensors | {"fc.bias": torch.zeros(1)}))
    gone = sorted(k for k in tiny().state_dict() if k.startswith("stages.3") and "num_batches" not in k)
    text = rf"{len(gone)} missing: {', '.join(gone[:3])}; 1 not in the network: fc\.bias\. .*--model NAME"
    with pytest.raises(CheckpointError, match=text):
        load_model(weights, ARCHITECTURE)


def test_a_wrong_shape_is_told_with_both_shapes_and_what_to_try(tmp_path: Path) -> None:
    weights = read_weights(saved(tmp_path / "x.pt", tiny(classes=3).state_dict()))
    text = r"2 of another shape: head\.weight \(3, 16\) instead of \(10, 16\), .*--model-arg .*classes=10"
    with pytest.raises(CheckpointError, match=text):
        load_model(weights, ARCHITECTURE)


def test_counters_of_batch_norm_may_be_missing(tmp_path: Path) -> None:
    tensors = {k: v for k, v in tiny(seed=5).state_dict().items() if "num_batches_tracked" not in k}
    model = load_model(read_weights(saved(tmp_path / "x.pt", tensors)), ARCHITECTURE)
    assert equal(model.state_dict(), tiny(seed=5).state_dict())


# The Spec


def damaged(**changed: Any) -> str:
    return json.dumps({**json.loads(spec_to_json(SPEC)), **changed})


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "the whole"),
        ("[]", "the whole"),
        ("{}", "architecture"),
        (damaged(labels="cat"), "labels"),
        (damaged(labels=[1]), r"labels\.0"),
        (damaged(preprocess={"height": "tall"}), r"preprocess\.height"),
    ],
)
def test_a_damaged_spec_names_the_first_bad_field(text: str, where: str) -> None:
    with pytest.raises(CheckpointError, match=f"Spec in the checkpoint is damaged at {where}: .*give --model"):
        spec_from_json(text)


def test_a_checkpoint_with_a_damaged_spec_is_refused(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "x.safetensors", {"attendc.spec": damaged(labels=None)})
    with pytest.raises(CheckpointError, match="damaged at labels"):
        read_weights(tmp_path / "x.safetensors")


def test_a_safetensors_file_of_others_has_no_spec(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "x.safetensors", {"format": "pt"})
    assert read_weights(tmp_path / "x.safetensors").spec is None


def test_a_spec_that_names_foreign_code_does_not_import_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spec_attack.py").write_text("import pathlib\npathlib.Path(__file__).with_name('owned').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    architecture = Architecture("spec_attack:make", TINY)
    save_checkpoint(tmp_path / "x.safetensors", tiny(), Spec(architecture, SPEC.preprocess, SPEC.labels))
    weights = read_weights(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"asks to import spec_attack:make.*--model spec_attack:make"):
        load_model(weights, architecture)
    assert not (tmp_path / "owned").exists()
    assert "spec_attack" not in sys.modules
