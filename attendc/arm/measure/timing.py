"""Milliseconds on a real computer: what is asked of guest/work.py, and what its answers mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.errors import ConversionError, InternalError, UsageError

__all__ = [
    "LEAST_RUNS",
    "TimeOptions",
    "Timing",
    "cannot_run",
    "median_interval",
    "read_timings",
    "summarize",
    "time_job",
]

_LEVEL = 0.95
LEAST_RUNS = 6
"""Of fewer, even their least and largest enclose the median less often than in 95 of 100 cases: 1 - 2 / 2**5."""


@dataclass(frozen=True)
class TimeOptions:
    """How to measure.

    Attributes:
        threads: of the runtime.
        warmup: inferences of each file before the first that counts.
        runs: inferences of each file that count.
    """

    threads: int = 1
    warmup: int = 10
    runs: int = 50

    def __post_init__(self) -> None:
        """Refuse what gives no interval.

        Raises:
            UsageError: if there are too few runs, or no thread.
        """
        if self.runs < LEAST_RUNS:
            raise UsageError(
                f"{self.runs} runs give no 95 % interval of the median", hint=f"Take {LEAST_RUNS} or more: --runs 50"
            )
        if self.threads < 1 or self.warmup < 0:
            raise UsageError(f"{self.threads} threads and {self.warmup} inferences of warm-up cannot be")


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one inference, and the state of the computer meanwhile.

    Attributes:
        median_ms: of the runs.
        low_ms: lower end of the 95 % confidence interval of the median.
        high_ms: upper end.
        runs: that were timed.
        warmup: inferences before them.
        threads: of the runtime.
        clock_mhz: of the core that it ran on, the median of what it said during the runs; None where it does not tell.
        temperature_c: of the processor after the runs; None where it does not tell.
        machine: its name.
        temperature_before_c: of the processor before the warm-up.
        throttled: whether the clock was held down for heat or power; None where it does not tell.
        clock_low_mhz: the least that it said during the runs.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    warmup: int
    threads: int
    clock_mhz: float | None
    temperature_c: float | None
    machine: str
    temperature_before_c: float | None = None
    throttled: bool | None = None
    clock_low_mhz: float | None = None


def time_job(files: Sequence[str], formats: Sequence[str], options: TimeOptions) -> list[dict[str, Any]]:
    """Return the job for guest/work.py: one task for each file, by its path on that computer; they take turns.

    `formats` are `tflite` or `onnx`.
    """
    how = {"kind": "time", "warmup": options.warmup, "runs": options.runs, "threads": options.threads}
    return [{**how, "file": file, "format": form} for file, form in zip(files, formats, strict=True)]


def read_timings(
    lines: Sequence[Mapping[str, Any]], files: Sequence[Path], options: TimeOptions, place: str
) -> list[Timing]:
    """Return the timing of each file from the lines that guest/work.py wrote for the job of `time_job`.

    Raises:
        ConversionError: naming a file that the runtime there cannot run.
    """
    told = {line["index"]: line for line in lines if "at" not in line}
    for index, file in enumerate(files):
        if index not in told:
            raise InternalError(f"{place} gave no answer to {file}")
        if told[index].get("error"):
            raise cannot_run(place, file, told[index]["error"])
    return [summarize(told[i]["milliseconds"], options, told[i]["state"]) for i in range(len(files))]


def cannot_run(place: str, file: Path, why: str) -> ConversionError:
    """Return the error for a file that a runtime refuses."""
    return ConversionError(f"the runtime on {place} cannot run {file}: {why}")


def summarize(milliseconds: Sequence[float], options: TimeOptions, state: Mapping[str, Any]) -> Timing:
    """Return the timing of `milliseconds`, one entry per run; `state` is what guest/work.py told of the computer."""
    low, high = median_interval(milliseconds)
    return Timing(
        statistics.median(milliseconds),
        low,
        high,
        len(milliseconds),
        options.warmup,
        options.threads,
        state.get("clock_mhz"),
        state.get("temperature_c"),
        str(state.get("machine") or "unknown"),
        state.get("temperature_before_c"),
        state.get("throttled"),
        state.get("clock_low_mhz"),
    )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest pair of order statistics, equally far from both ends, that encloses the median at 95 %.

    The number of values below the median is binomial with p = 1/2, whatever their distribution; the values are taken
    as independent. Source: H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., Wiley 2003, section 7.1.

    Raises:
        UsageError: if there are fewer than LEAST_RUNS.
    """
    count = len(values)
    if count < LEAST_RUNS:
        raise UsageError(f"{count} runs give no 95 % interval of the median", hint=f"Take {LEAST_RUNS} or more")
    ordered = sorted(values)
    cut = 0  # values left out at each end
    while _outside(count, cut + 1) <= 1 - _LEVEL:
        cut += 1
    return ordered[cut], ordered[count - 1 - cut]


def _outside(count: int, cut: int) -> float:
    """Return the probability that the median lies outside, with `cut` values left out at each end."""
    return 2 * sum(math.comb(count, k) for k in range(cut + 1)) / (1 << count)
