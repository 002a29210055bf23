"""A recipe that begins with training: every later stage goes on from what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from nets import TINY

from attendc.checkpoint import read_weights
from attendc.context import Context
from attendc.reader.load import recipe_from_text
from attendc.runner.run import Run, RunOptions, run_recipe

RECIPE = """
version: 1
name: whole-way
model: {{name: attendnext_nano, args: {args}}}
data: {data}
stages:
  - train: {{epochs: 1, batch_size: 16, input_size: [16, 16]}}
  - prune: {{macs: 0.9, importance: l2, epochs: 0, guard: []}}
  - quantize: {{mode: qat, calib: 8, epochs: 1, batch_size: 16}}
  - convert: {{to: [tflite]}}
  - verify: {{images: 20, min_agreement: 0, max_drop: 100}}
"""


@pytest.fixture(scope="module")
def run(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    args = {k: v for k, v in TINY.items() if k != "classes"}
    recipe = recipe_from_text(RECIPE.format(args=args, data=small_npz))
    return run_recipe(recipe, Context(), RunOptions(output=tmp_path_factory.mktemp("runs") / "r", cached=False))


@pytest.mark.slow
def test_the_history_tells_every_stage(run: Run) -> None:
    assert [step["step"] for step in run.manifest["history"]] == ["train", "prune", "ptq", "qat"]
    assert [step["step"] for step in run.manifest["steps"]][:2] == ["as it was", "pruned"]


@pytest.mark.slow
def test_what_was_trained_and_what_was_pruned_are_among_the_outputs(run: Run) -> None:
    folder = Path(run.folder)
    trained, pruned = (read_weights(folder / f"model.{what}.safetensors") for what in ("trained", "pruned"))
    assert trained.spec is not None
    assert pruned.spec is not None
    count = [sum(t.numel() for t in w.tensors.values()) for w in (trained, pruned)]
    assert count[1] < count[0]
    names = {"model.trained.safetensors", "model.trained.last.safetensors", "model.pruned.safetensors"}
    assert names == {name for name in run.manifest["outputs"] if name.endswith(".safetensors")}


@pytest.mark.slow
def test_the_artefacts_name_the_trained_checkpoint(run: Run) -> None:
    from attendc.converters.program import load_program

    folder = Path(run.folder)
    stamp = load_program(folder / "model.int8.pt2").stamp
    assert stamp["checkpoint_sha256"] == run.manifest["outputs"]["model.trained.safetensors"]["sha256"]


@pytest.mark.slow
def test_what_was_trained_may_be_converted_as_it_is(small_npz: Path, tmp_path: Path) -> None:
    head, _, rest = RECIPE.format(args={k: v for k, v in TINY.items() if k != "classes"}, data=small_npz).partition(
        "  - prune"
    )
    recipe = recipe_from_text(head + "  - convert: {to: [onnx]}\n" + rest[rest.index("  - verify") :])
    run = run_recipe(recipe, Context(), RunOptions(output=tmp_path / "r", cached=False))
    assert run.manifest["verification"]["passed"]
    assert "model.float32.onnx" in run.manifest["outputs"]


@pytest.mark.slow
def test_there_is_a_curve_of_each_training(run: Run) -> None:
    assert [curve["title"] for curve in run.manifest["curves"]] == ["training", "quantization-aware training"]
