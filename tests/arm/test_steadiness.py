"""What disturbed a measurement is told; what the computer does not tell is not guessed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from attendc.arm.measure.steadiness import disturbances, warn_of_disturbances
from attendc.arm.measure.timing import Timing
from attendc.context import Context

FILE = Path("net.tflite")
QUIET = Timing(9.0, 8.9, 9.1, 50, 10, 1, None, None, "a board")
STEADY = dataclasses.replace(QUIET, clock_mhz=1500.0, clock_low_mhz=1430.0, temperature_c=79.0, throttled=False)


@pytest.mark.parametrize("timing", [QUIET, STEADY], ids=["tells nothing", "steady"])
def test_nothing_to_tell(timing: Timing) -> None:
    assert disturbances(FILE, timing) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"throttled": True}, "heat or weak power held the clock down"),
        ({"temperature_c": 80.0}, "it is 80 degrees hot"),
        ({"clock_low_mhz": 600.0}, "the clock fell to 600 MHz from 1500 while net.tflite ran"),
        ({"clock_low_mhz": 1424.0}, "the clock fell to 1424 MHz"),  # 1425 is 95 % of 1500
    ],
)
def test_what_is_told(change: dict[str, float], words: str) -> None:
    (told,) = disturbances(FILE, dataclasses.replace(STEADY, **change))  # type: ignore[arg-type]
    assert words in told


def test_what_holds_for_all_files_is_told_once() -> None:
    context = Context()
    hot = dataclasses.replace(STEADY, temperature_c=84.0)
    warn_of_disturbances([FILE, Path("other.tflite")], [hot, hot], "pi@board", context)
    assert [text.partition(",")[0] for text in context.warnings] == ["pi@board: it is 84 degrees hot"]
