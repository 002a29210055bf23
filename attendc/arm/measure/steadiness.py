"""What disturbed a measurement of time: a clock that changed, heat, power."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attendc.arm.measure.timing import Timing
from attendc.context import Context

__all__ = ["disturbances", "warn_of_disturbances"]

_STEADY = 0.95
"""Least clock during the runs, as a share of their median, that is still called the same."""
_HOT_C = 80.0
"""Where a Raspberry Pi begins to slow down; see
https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control"""
_GOVERNOR = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


def warn_of_disturbances(files: Sequence[Path], timings: Sequence[Timing], place: str, context: Context) -> None:
    """Warn of all that makes these times less than what the computer can do, each thing once."""
    for text in dict.fromkeys(text for pair in zip(files, timings, strict=True) for text in disturbances(*pair)):
        context.warn(f"{place}: {text}")


def disturbances(file: Path, timing: Timing) -> list[str]:
    """Return sentences on what disturbed one timing; what the computer does not tell is not guessed."""
    found = []
    if timing.throttled:
        found.append("heat or weak power held the clock down, so the times are too long: cool it, or mend its supply")
    elif timing.temperature_c is not None and timing.temperature_c >= _HOT_C:
        found.append(f"it is {timing.temperature_c:.0f} degrees hot, where boards slow down: cool it and run it again")
    low, clock = timing.clock_low_mhz, timing.clock_mhz
    if low is not None and clock is not None and low < _STEADY * clock:
        found.append(f"the clock fell to {low:.0f} MHz from {clock:.0f} while {file.name} ran; {_GOVERNOR} keeps it up")
    return found
