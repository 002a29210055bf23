"""A graph as a .pt2 file and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import SMALL_SPEC, STAMP, Built
from torch import Tensor

from attendc.compress.plan import apply_plan
from attendc.converters.program import inference_module, load_program, save_program
from attendc.errors import CheckpointError, OutputError
from attendc.qdq import quant_table


def test_a_round_trip_keeps_outputs_spec_and_stamp(built: Built, seen: Tensor, tmp_path: Path) -> None:
    quantized = apply_plan(built.corrected, built.plan)
    spec = SMALL_SPEC.after(step="ptq", images=40)
    save_program(tmp_path / "x.pt2", quantized, spec, STAMP)
    loaded = load_program(tmp_path / "x.pt2")
    assert torch.equal(loaded.graph(seen), quantized(seen))
    assert loaded.spec == spec
    assert (loaded.stamp["checkpoint_sha256"], loaded.stamp["labels"]) == (STAMP.checkpoint_sha256, list("abcdefghij"))


def test_a_round_trip_keeps_every_scale_and_integer(built: Built) -> None:
    before, after = quant_table(apply_plan(built.corrected, built.plan)), quant_table(built.quantized)
    assert [*before.activations.values()] == [*after.activations.values()]
    assert [*before.layers.values()] == [*after.layers.values()]


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_loaded_graph_takes_any_batch(count: int, built: Built, seen: Tensor) -> None:
    assert torch.equal(built.quantized(seen[:count]), built.quantized(seen)[:count])


def test_the_inference_module_shares_the_weights_and_can_be_put_in_eval_mode(built: Built, seen: Tensor) -> None:
    module = inference_module(built.quantized)
    assert not module.eval().training
    assert torch.equal(module(seen), built.quantized(seen))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file .*x\.pt2\. attendc quantize writes one"):
        load_program(tmp_path / "x.pt2")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "foreign"])
def test_a_damaged_file_is_named(damage: str, built: Built, tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"
    save_program(path, built.quantized, SMALL_SPEC, STAMP)
    content = {"empty": b"", "text": b"once upon a time", "truncated": path.read_bytes()[:-900]}
    if damage == "foreign":
        torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(2),)), path)
    else:
        path.write_bytes(content[damage])
    with pytest.raises(CheckpointError, match=r"x\.pt2 is no quantized graph of attendc's: .*Make it again"):
        load_program(path)


def test_a_place_that_cannot_be_written_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        save_program(tmp_path, built.quantized, SMALL_SPEC, STAMP)
