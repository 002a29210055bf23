"""The step `simplify`: what it tells, which passes it runs, and that the stages after it take its graph.

The small network is conv(1 to 4, 3x3), conv(4 to 4, 3x3), batch norm, ReLU, pool, linear(4 to 10), for 1x8x8.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from nets import SMALL, ops, small
from torch import Tensor

from attendc.context import Context
from attendc.converters.program import load_program
from attendc.errors import AttendcError, ConversionError, UsageError
from attendc.files import sha256
from attendc.opening import CheckpointRequest, Opened, open_checkpoint
from attendc.qdq import quant_table
from attendc.reader.load import recipe_from_text
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.simplify import chosen_passes, graph_facts, simplify
from attendc.stages.simplify_config import SimplifyConfig

BN = "_native_batch_norm_legit_no_training"

RECIPE = """
version: 1
model: {{checkpoint: {checkpoint}, factory: "nets:small"}}
data: {data}
stages: [{stages}]
"""
QUANTIZE = "{quantize: {calib: 8}}"


@pytest.fixture
def opened(small_checkpoint: Path, small_npz: Path) -> Opened:
    """Return the small net with its data."""
    return open_checkpoint(CheckpointRequest(small_checkpoint, model="nets:small", data=str(small_npz)))


def made(small_checkpoint: Path, small_npz: Path, *stages: str, keep: Path) -> dict[str, str]:
    """Run a recipe of these stages; return the sha256 of each file that it left, and keep copies."""
    recipe = recipe_from_text(RECIPE.format(checkpoint=small_checkpoint, data=small_npz, stages=", ".join(stages)))
    with executed_recipe(recipe, Context(), RunOptions()) as executed:
        for name, path in executed.work.files.items():
            (keep / name).write_bytes(path.read_bytes())
        return {name: sha256(path) for name, path in executed.work.files.items()}


def test_it_tells_what_was_before_and_what_is_after(opened: Opened, seen: Tensor) -> None:
    done = simplify(opened)
    convs_and_linear = 4 * 9 + 4 + 4 * 4 * 9 + 4 * 10 + 10  # the second convolution has no bias
    assert done.before["bytes"] == 4 * (convs_and_linear + 4 * 4)  # gamma, beta, mean, variance
    assert done.after["bytes"] == 4 * (convs_and_linear + 4)
    assert done.before["ops"][BN] == 1
    assert done.after["ops"] == {"avg_pool2d": 1, "conv2d": 2, "linear": 1, "relu": 1, "reshape": 1}
    assert done.after["nodes"] == 6
    assert done.after["macs"] == 4 * 9 * 64 + 4 * 4 * 9 * 36 + 40  # 8x8, then 6x6 without padding
    assert done.proven_on == "16 images"
    assert [row["pass"] for row in done.passes if row["left_out"]] == []
    assert graph_facts(done.graph, SMALL) == done.after


def test_only_the_chosen_passes_run(opened: Opened) -> None:
    done = simplify(opened, SimplifyConfig(passes=("spell_out_pools", "fold_bn")))
    assert [row["pass"] for row in done.passes] == ["fold_bn", "spell_out_pools"]  # in attendc's order
    assert simplify(opened, SimplifyConfig(skip=("fold_bn",))).after["ops"][BN] == 1


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (SimplifyConfig(skip=("fold_bm",)), r"there is no pass fold_bm. Did you mean fold_bn\?"),
        (SimplifyConfig(passes=("xyz",)), r"there is no pass xyz. Choose from free_batch, "),
        (SimplifyConfig(passes=("fold_bn",), skip=("give_biases",)), "passes and skip are two choices"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(config: SimplifyConfig, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        chosen_passes(config)


def test_without_data_random_inputs_are_taken_and_that_is_said(opened: Opened) -> None:
    context = Context()
    bare = dataclasses.replace(opened, spec=dataclasses.replace(opened.spec, data=""))
    assert simplify(bare, SimplifyConfig(), context).proven_on == "random inputs"
    assert context.warnings == ["passes are proven on random inputs: no data is known for this checkpoint"]
    assert simplify(opened, SimplifyConfig(images=0)).proven_on == "random inputs"


def test_quantize_makes_the_same_of_its_graph_as_of_the_checkpoint(
    small_checkpoint: Path, small_npz: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made(small_checkpoint, small_npz, "simplify", QUANTIZE, keep=tmp_path / "a")
    made(small_checkpoint, small_npz, QUANTIZE, keep=tmp_path / "b")
    with_, without = (load_program(tmp_path / f / "model.int8.pt2").graph for f in "ab")
    assert ops(with_) == ops(without)
    assert list(quant_table(with_).layers.values()) == list(quant_table(without).layers.values())
    assert list(quant_table(with_).activations.values()) == list(quant_table(without).activations.values())


def test_quantize_takes_the_graph_that_is_left(small_checkpoint: Path, small_npz: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="BatchNorm2d"):  # which fold_bn would have folded
        made(small_checkpoint, small_npz, "{simplify: {skip: [fold_bn]}}", QUANTIZE, keep=tmp_path)


@pytest.mark.parametrize("last", [QUANTIZE, "{convert: {to: [onnx], dtypes: [float32]}}"])
def test_a_network_that_changes_afterwards_is_refused(
    last: str, small_checkpoint: Path, small_npz: Path, tmp_path: Path
) -> None:
    mask = "{mask: {epochs: 0}}"  # twice, so that the checkpoint before and after has one name
    with pytest.raises(
        AttendcError, match=r"was changed after it was simplified\. Let simplify come after train, prune"
    ):
        made(small_checkpoint, small_npz, mask, "simplify", "{mask: {epochs: 0, ratio: 0.6}}", last, keep=tmp_path)


def test_after_a_mask_it_is_the_masked_network(small_checkpoint: Path, small_npz: Path, tmp_path: Path) -> None:
    made(small_checkpoint, small_npz, "{mask: {epochs: 0}}", "simplify", keep=tmp_path)
    weight = load_program(tmp_path / "model.float32.pt2").graph.get_parameter("0.weight")
    assert int((weight == 0).sum()) >= 4  # half of all weights, by size
    assert int((dict(small("conv_bn_relu").named_parameters())["0.weight"] == 0).sum()) == 0
