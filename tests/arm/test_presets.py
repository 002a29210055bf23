"""What the presets built for ARM promise: one is counted on the emulated cores, the others by the table that it proves.

`benchmarks/arm_presets.py` counts all of them, float32 too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import attendc
from attendc.arm.cores import core_of
from attendc.arm.cost.cost import predict
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.arm.ops import ops_of_tflite
from attendc.explore.candidate import Candidate
from attendc.explore.constraints import PRACTICES, judge
from attendc.explore.cost import Cost, cost_of
from attendc.models.attendnext import PRESETS

A76, A72 = CORES = ("cortex-a76", "cortex-a72")
FOR_ARM = ("attendnext_arm", "attendnext_arm_m", "attendnext_arm_s", "attendnext_arm_xs")
COUNTED = "attendnext_arm_xs"
M = 1e6


def cost(preset: str) -> Cost:
    return cost_of(Candidate(PRESETS[preset], 224, 224), CORES)


@pytest.mark.parametrize(
    ("preset", "a76", "a72"),
    [
        ("attendnext_arm", 60, 166),
        ("attendnext_arm_m", 43.1 * 0.76, 100),  # three quarters of MobileNetV3-L int8
        ("attendnext_arm_s", 38.5, 106),
        ("attendnext_arm_xs", 157.4 / 10, 45),  # a tenth of FBNet-C float32
    ],
)
def test_int8_takes_at_most_so_many_million_instructions(preset: str, a76: float, a72: float) -> None:
    told = cost(preset).instructions
    assert told[A76] <= a76 * M
    assert told[A72] <= a72 * M


@pytest.mark.parametrize(
    ("preset", "macs"), [("attendnext_arm", 500), ("attendnext_arm_m", 350), ("attendnext_arm_xs", 150)]
)
def test_a_preset_computes_so_much_with_the_parameters_of_the_paper(preset: str, macs: float) -> None:
    assert cost(preset).macs >= macs * M
    assert cost(preset).params <= 3.94 * M  # 1.37 times smaller than MobileNetV3-L


@pytest.mark.parametrize(("preset", "least"), [("attendnext_arm", 10.4), ("attendnext_arm_m", 10.4)])
def test_more_than_10_macs_an_instruction(preset: str, least: float) -> None:
    assert cost(preset).macs / cost(preset).instructions[A76] >= least


@pytest.mark.parametrize("preset", FOR_ARM)
def test_the_practices_of_the_family_hold(preset: str) -> None:
    verdict = judge(Candidate(PRESETS[preset], 224, 224), PRACTICES, ())
    assert [why for why in verdict.constraints.values() if why] == []
    assert len(verdict.constraints) == 1 + len(PRACTICES)


# Files


def written(preset: str, dtype: str, folder: Path) -> Path:
    """Return a TFLite file of a preset with fresh weights and random calibration."""
    context, how = attendc.Context(), attendc.ConvertConfig(to=("tflite",), dtypes=(dtype,))  # type: ignore[arg-type]
    opened = attendc.load_checkpoint(model=preset, classes=1000)
    is_float = dtype == "float32"
    source = opened if is_float else attendc.quantize(opened, attendc.QuantizeConfig(calib="random"), context)
    attendc.convert(source, folder / preset, how, context)
    return folder / preset / f"model.{dtype}.tflite"


@pytest.fixture(scope="module")
def counted(arm_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Answer]]:
    """Return the int8 file of one preset, and core -> what was counted of it."""
    path = written(COUNTED, "int8", tmp_path_factory.mktemp("counted"))
    return path, {core: emulate(core_of(core), [Task("count", path)])[0] for core in CORES}


@pytest.mark.slow
def test_the_cores_count_what_the_table_tells(counted: tuple[Path, dict[str, Answer]]) -> None:
    path, answers = counted
    for core, answer in answers.items():
        told = cost(COUNTED).instructions[core]
        assert told == pytest.approx(predict(ops_of_tflite(path), core), rel=1e-6)
        assert answer.instructions == pytest.approx(told, rel=0.01)


@pytest.mark.slow
def test_the_core_counts_no_more_than_a_tenth_of_fbnet_c_in_float32(counted: tuple[Path, dict[str, Answer]]) -> None:
    found = counted[1][A76].instructions
    assert found is not None
    assert found <= 15.7 * M


@pytest.mark.slow
def test_xnnpack_runs_the_whole_int8_file_as_one_part(counted: tuple[Path, dict[str, Answer]]) -> None:
    assert {core: answer.partitions for core, answer in counted[1].items()} == dict.fromkeys(CORES, 1)


@pytest.mark.slow
def test_the_bytes_of_the_file_are_those_estimated(counted: tuple[Path, dict[str, Answer]]) -> None:
    assert cost(COUNTED).bytes == pytest.approx(counted[0].stat().st_size, rel=0.01)


@pytest.mark.slow
def test_int8_takes_a_quarter_of_the_instructions_of_float32(tmp_path: Path) -> None:
    whole = predict(ops_of_tflite(written("attendnext_arm", "float32", tmp_path)), A76)
    assert whole >= 4.0 * cost("attendnext_arm").instructions[A76]
