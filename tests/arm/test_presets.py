"""What the presets built for ARM promise, counted on the emulated cores."""

from __future__ import annotations

from pathlib import Path

import pytest

import attendc
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.metrics import count_macs
from attendc.models.attendnext import PRESETS, AttendNeXt

pytestmark = pytest.mark.slow  # networks for 224x224 are calibrated, converted and emulated

PRESET_DTYPES = {"attendnext_arm": ("int8", "float32"), "attendnext_arm_s": ("int8",)}
Counts = dict[tuple[str, str, str], Answer]


@pytest.fixture(scope="module")
def counts(arm_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """Return (preset, dtype, core) -> what was counted, with fresh weights and random calibration."""
    context, files = attendc.Context(), {}
    for preset, dtypes in PRESET_DTYPES.items():
        opened = attendc.load_checkpoint(model=preset)
        quantized = attendc.quantize(opened, attendc.QuantizeConfig(calib="random"), context)
        folder = tmp_path_factory.mktemp(preset)
        attendc.convert(quantized, folder, attendc.ConvertConfig(to=("tflite",), dtypes=dtypes), context)
        files |= {(preset, dtype): folder / f"model.{dtype}.tflite" for dtype in dtypes}
    tasks = [Task("count", path) for path in files.values()]
    found: Counts = {}
    for core in ("cortex-a76", "cortex-a72"):
        answers = emulate(core_of(core), tasks)
        found |= {(*key, core): answer for key, answer in zip(files, answers, strict=True)}
    return found


def instructions(counts: Counts, preset: str, dtype: str, core: str) -> int:
    found = counts[preset, dtype, core].instructions
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("preset", "core", "most"),
    [
        ("attendnext_arm", "cortex-a76", 55e6),
        ("attendnext_arm", "cortex-a72", 160e6),
        ("attendnext_arm_s", "cortex-a76", 38.5e6),
        ("attendnext_arm_s", "cortex-a72", 106e6),
    ],
)
def test_int8_takes_at_most_so_many_instructions(counts: Counts, preset: str, core: str, most: float) -> None:
    assert instructions(counts, preset, "int8", core) <= most


@pytest.mark.parametrize("preset", PRESET_DTYPES)
def test_xnnpack_runs_the_whole_int8_file_as_one_part(counts: Counts, preset: str) -> None:
    assert counts[preset, "int8", "cortex-a76"].partitions == 1


def test_attendnext_arm_computes_500_million_macs_at_nearly_10_an_instruction(counts: Counts) -> None:
    macs = count_macs(AttendNeXt(PRESETS["attendnext_arm"]).eval(), (3, 224, 224))
    assert macs >= 500e6
    assert macs / instructions(counts, "attendnext_arm", "int8", "cortex-a76") >= 9.8


def test_int8_takes_less_than_27_percent_of_the_instructions_of_float32(counts: Counts) -> None:
    int8, float32 = (instructions(counts, "attendnext_arm", dtype, "cortex-a76") for dtype in ("int8", "float32"))
    assert int8 <= 0.27 * float32
