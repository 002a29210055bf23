"""Milliseconds on this computer's own CPU, in a process of its own that runs what a board would run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attendc.arm.emulation.process import do_job
from attendc.arm.measure.steadiness import warn_of_disturbances
from attendc.arm.measure.timing import TimeOptions, Timing, read_timings, time_job
from attendc.context import Context

__all__ = ["LOCAL", "time_here"]

LOCAL = "local"


def time_here(files: Sequence[Path], options: TimeOptions, context: Context) -> list[Timing]:
    """Return the milliseconds of each file; the files take turns, so that a drift of the clock hits all alike.

    Raises:
        ConversionError: naming a file that the runtime cannot run, or that brings it down.
    """
    job = time_job([str(f.resolve()) for f in files], [f.suffix.removeprefix(".") for f in files], options)
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory(prefix="attendc-time-") as name:
        told = do_job([sys.executable], job, Path(name), context, place=LOCAL, environment=environment)
    timings = read_timings(told, files, options, LOCAL)
    warn_of_disturbances(files, timings, LOCAL, context)
    return timings
