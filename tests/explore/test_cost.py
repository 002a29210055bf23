"""What a design costs by arithmetic, against the int8 file that it becomes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import attendc
from attendc.arm.cost.cost import predict
from attendc.arm.ops import SILU, Op, ops_of_tflite
from attendc.errors import UsageError
from attendc.explore.candidate import Candidate, candidate_from
from attendc.explore.cost import cost_of
from attendc.explore.int8_file import Step, peak_memory, steps_of
from attendc.models.attendnext import PRESETS, AttendNeXtConfig
from attendc.models.layout import layout

A76, A72 = "cortex-a76", "cortex-a72"
SMALL = AttendNeXtConfig(
    widths=(16, 32, 64, 64),
    depths=(1, 1, 2, 1),
    stem_width=16,
    stem_stride=1,
    stem_pool=False,
    gate="sigmoid",
    classes=10,
)


def candidate(height: int = 32, width: int = 32, **changed: object) -> Candidate:
    return Candidate(dataclasses.replace(SMALL, **changed), height, width)  # type: ignore[arg-type]


def ops(design: Candidate) -> list[Op]:
    layers = layout(design.config, design.height, design.width)
    return [step.op for step in steps_of(layers, design.height, design.width)]


def parts(op: Op) -> tuple[object, ...]:
    """Return all of an operator but where it stands in a file."""
    return tuple(v for k, v in dataclasses.asdict(op).items() if k not in ("name", "index"))


# Candidates


def test_a_candidate_comes_back_from_what_it_says_of_itself() -> None:
    design = candidate(28, 32, attention="none", widths=(32, 32, 64, 64))
    told = design.as_dict()
    assert candidate_from(told) == design
    assert (told["input_size"], told["widths"], told["attention"]) == ([28, 32], [32, 32, 64, 64], "none")


def test_equal_designs_have_one_key_and_others_another() -> None:
    assert candidate().key == candidate(gate="sigmoid").key
    assert len({candidate().key, candidate(31).key, candidate(32, 31).key, candidate(columns=2).key}) == 4


# Operators


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        candidate(40, 32, stem_stride=2, downsample="strided", attention="none", activation="relu", columns=2),
        candidate(32, 64, attention="every", gate="hardsigmoid", activation="hardswish", mix="block"),
    ],
)
def test_the_operators_are_those_of_the_real_file(design: Candidate, tmp_path: Path) -> None:
    args = {k: v for k, v in design.as_dict().items() if k != "input_size"}
    shape = (3, design.height, design.width)
    opened = attendc.load_checkpoint(model="attendnext", model_args=args, input_shape=shape)
    context, how = attendc.Context(), attendc.ConvertConfig(to=("tflite",), dtypes=("int8",))
    quantized = attendc.quantize(opened, attendc.QuantizeConfig(calib="random"), context)
    attendc.convert(quantized, tmp_path / "made", how, context)
    path = tmp_path / "made" / "model.int8.tflite"
    assert [parts(op) for op in ops(design)] == [parts(op) for op in ops_of_tflite(path)]
    cost = cost_of(design, [A76])
    assert cost.instructions[A76] == pytest.approx(predict(ops_of_tflite(path), A76))
    assert cost.bytes == pytest.approx(path.stat().st_size, rel=0.05)


def test_branches_pool_once_where_both_pool_the_same_image() -> None:
    pools = [(op.outputs, op.height) for op in ops(candidate()) if op.kind == "DEPTHWISE_CONV_2D"]
    both_of_stage_3, both_of_stage_4, of_the_image = [(64, 8), (32, 8)], [(64, 4), (128, 4)], (128, 1)
    assert pools == [(16, 16), *both_of_stage_3, *both_of_stage_4, of_the_image]


def test_the_mean_of_more_than_25_pixels_is_a_mean() -> None:
    last = {side: ops(candidate(side, side))[-2] for side in (40, 48)}  # strides of 8 leave 5x5 and 6x6
    assert [(op.kind, op.kernel) for op in last.values()] == [("DEPTHWISE_CONV_2D", (5, 5)), ("MEAN", (6, 6))]


def test_a_patch_stem_reads_wide_rows() -> None:
    first, second = ops(candidate(stem="patch", stem_stride=4))[:2]
    assert (first.kind, first.height, first.width, first.outputs) == ("RESHAPE", 32, 8, 12)
    assert (second.inputs, second.kernel, second.stride, second.height, second.width) == (12, (4, 1), (4, 1), 8, 8)


def test_narrow_columns_are_joined_and_one_channel_a_column_is_depthwise() -> None:
    narrow = ops(candidate(stem_width=8, columns=8))
    assert [(op.kind, op.groups) for op in narrow if op.outputs == 8 and op.kernel == (3, 3)] == [
        *(("CONV_2D", 1), ("DEPTHWISE_CONV_2D", 8))  # the stem
    ]
    assert next(op.groups for op in narrow if op.inputs == op.outputs == 16 and op.kernel == (3, 3)) == 2  # 4 of 2 each


def test_activations_and_gates_are_operators_only_where_the_runtime_has_to_run_them() -> None:
    def kinds(**changed: object) -> set[str]:
        return {op.kind for op in ops(candidate(**changed))}  # type: ignore[arg-type]

    assert {SILU, "LOGISTIC"} <= kinds()
    assert kinds() - kinds(activation="relu") == {SILU}
    assert kinds() - kinds(gate="hardsigmoid") == {"LOGISTIC"}
    assert kinds(gate="softmax") - kinds() == {"SOFTMAX"}
    assert kinds() - kinds(attention="none") == {"LOGISTIC", "MUL"}


# Memory


def plain(outputs: int) -> Op:
    return Op("CONV_2D", "int8", outputs, outputs)


def test_a_tensor_is_alive_until_it_is_read_for_the_last_time() -> None:
    # image 0 (10) -> 1 (20) -> 2 (5) -> 3 = 2 + 1 (7): at the last step 20 + 5 + 7
    steps = (Step(plain(20), (0,), 1), Step(plain(5), (1,), 2), Step(plain(7), (2, 1), 3))
    assert peak_memory(steps, 10) == 32
    # 1 is not needed any more when 3 is written: 10 + 20, 20 + 5, 5 + 7
    assert peak_memory((*steps[:2], Step(plain(7), (2,), 3)), 10) == 30


def test_the_peak_of_nano_is_what_its_first_attention_needs() -> None:
    # x, 16 channels of 32x32, waits for the features while A (16x32x32) is gated by an operator that reads A and x * A
    cost = cost_of(Candidate(PRESETS["attendnext_nano"], 32, 32), [A76])
    assert cost.memory == 3 * 16 * 32 * 32


# Numbers


def test_nano_costs_what_is_known_of_it() -> None:
    cost = cost_of(Candidate(PRESETS["attendnext_nano"], 32, 32), [A76, A72])
    assert (cost.params, cost.macs) == (185_722, 11_782_656)
    assert set(cost.instructions) == {A76, A72}
    assert cost.instructions[A76] == pytest.approx(3.92e6, rel=0.01)  # of the file of `attendc quantize --model`


def test_more_pixels_cost_more_of_everything_but_parameters() -> None:
    small, large = (cost_of(candidate(side, side), [A76]) for side in (32, 48))
    assert small.params == large.params
    assert (small.macs, small.memory, small.instructions[A76]) < (large.macs, large.memory, large.instructions[A76])
    assert large.memory == small.memory * 48**2 // 32**2


def test_what_cannot_be_built_and_an_unknown_core_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide into 3 columns"):
        cost_of(candidate(columns=3), [A76])
    with pytest.raises(UsageError, match="no core 'cortex-a7x'"):
        cost_of(candidate(), ["cortex-a7x"])
