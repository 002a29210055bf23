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

DTYPES = {"attendnext_arm": ("int8", "float32"), "attendnext_arm_s": ("int8",)}
COUNTED = {"cortex-a76": ("int8", "float32"), "cortex-a72": ("int8",)}
"""Core -> types of files that are run on it: one process each."""
Counts = dict[tuple[str, str, str], Answer]


@pytest.fixture(scope="module")
def counts(arm_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """Return (preset, dtype, core) -> what was counted, with fresh weights and random calibration."""
    context, files = attendc.Context(), {}
    for preset, dtypes in DTYPES.items():
        opened = attendc.load_checkpoint(model=preset, classes=1000)
        quantized = attendc.quantize(opened, attendc.QuantizeConfig(calib="random"), context)
        folder = tmp_path_factory.mktemp(preset)
        attendc.convert(quantized, folder, attendc.ConvertConfig(to=("tflite",), dtypes=dtypes), context)
        files |= {(preset, dtype): folder / f"model.{dtype}.tflite" for dtype in dtypes}
    found: Counts = {}
    for core, dtypes in COUNTED.items():
        keys = [key for key in files if key[1] in dtypes]
        answers = emulate(core_of(core), [Task("count", files[key]) for key in keys])
        found |= {(*key, core): answer for key, answer in zip(keys, answers, strict=True)}
    return found


def instructions(counts: Counts, preset: str, dtype: str, core: str) -> int:
    found = counts[preset, dtype, core].instructions
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("preset", "core", "most"),
    [
        ("attendnext_arm", "cortex-a76", 60e6),
        ("attendnext_arm", "cortex-a72", 166e6),
        ("attendnext_arm_s", "cortex-a76", 38.5e6),
        ("attendnext_arm_s", "cortex-a72", 106e6),
    ],
)
def test_int8_takes_at_most_so_many_instructions(counts: Counts, preset: str, core: str, most: float) -> None:
    assert instructions(counts, preset, "int8", core) <= most


def test_int8_takes_a_quarter_of_the_instructions_of_float32(counts: Counts) -> None:
    int8, float32 = (instructions(counts, "attendnext_arm", dtype, "cortex-a76") for dtype in ("int8", "float32"))
    assert float32 >= 4.0 * int8


def test_attendnext_arm_computes_more_than_10_macs_an_instruction(counts: Counts) -> None:
    macs = count_macs(AttendNeXt(PRESETS["attendnext_arm"]).eval(), (3, 224, 224))
    assert macs >= 500e6
    assert macs / instructions(counts, "attendnext_arm", "int8", "cortex-a76") >= 10.4


@pytest.mark.parametrize("core", COUNTED)
@pytest.mark.parametrize("preset", DTYPES)
def test_xnnpack_runs_the_whole_int8_file_as_one_part(counts: Counts, preset: str, core: str) -> None:
    assert counts[preset, "int8", core].partitions == 1
