"""A study that is over in seconds: a space of a few hundred tiny designs, and a request that explores it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.explore.phases import explore, open_search
from attendc.explore.request import ExploreRequest, prepare
from attendc.explore.storage import Heartbeat
from attendc.explore.trial import Trial

__all__ = ["SPACE", "DiesAt", "expect_each_done_once", "request", "start", "together", "trials_of"]

SPACE = """
version: 1
dimensions:
  resolution: [16]
  stem: [patch]
  stem_width: [32]
  stem_stride: [4]
  columns: [2]
  widths: [[32], [32, 64], [32, 64], [32, 64]]
  depths: [[1, 2], [1], [1, 2], [1]]
  stage_strides: [[1, 1, 2, 1], [1, 2, 1, 1]]
  gate: [sigmoid, softmax]
  activation: [relu, silu]
  expansion: [1]
  downsample: [pool, strided]
"""
"""2^9 designs by their choices, of 4x4 pixels behind the stem. Those that are `strided` break two practices."""


def request(folder: Path, data: Path, **given: Any) -> ExploreRequest:
    """Return a request of six trials of three epochs, that takes others for dead after three seconds."""
    space = folder / "space.yaml"
    space.write_text(SPACE)
    usual = {
        "space": str(space),
        "trials": 6,
        "epochs": 3,
        "budgets": ("cortex-a76:3M",),
        "data": str(data),
        "hold_out": 0.3,
        "candidates": 2,
        "heartbeat": Heartbeat(1, 3),
    }
    return ExploreRequest(folder / "out", **{**usual, **given})


def together(count: int) -> Barrier:
    """Return where so many processes wait for each other before they take their first trial."""
    return multiprocessing.get_context("spawn").Barrier(count, timeout=120)


def start(wanted: ExploreRequest, say: Callable[[str], None] = print, barrier: Barrier | None = None) -> BaseProcess:
    """Start a process that works on the study, as one on another computer would; `say` must be such as can be sent."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(wanted, say, barrier))
    process.start()
    return process


def work(wanted: ExploreRequest, say: Callable[[str], None], barrier: Barrier | None) -> None:
    context = Context(say=say)
    prepared = prepare(wanted, context)
    if barrier is not None:
        barrier.wait()
    explore(prepared, context)


class DiesAt:
    """What kills its process as soon as that has taken its trial number `count`, and trains it."""

    def __init__(self, count: int) -> None:
        self.count, self.told = count, 0

    def __call__(self, text: str) -> None:
        self.told += "parameters" in text  # said of a trial that has just been taken
        if self.told == self.count:
            os.kill(os.getpid(), signal.SIGKILL)


def trials_of(wanted: ExploreRequest) -> tuple[Trial, ...]:
    """Return the trials of the study now."""
    with closing(open_search(prepare(wanted, Context()))) as study:
        return study.trials()


def expect_each_done_once(trials: tuple[Trial, ...], count: int) -> None:
    """Expect that `count` trials are done, no design twice, and that nothing that was begun is left behind.

    Two processes that draw at the same moment may draw one design more than is due; it waits for a larger count.
    """
    begun = [t.state for t in trials if t.state != "waiting" or t.retry_of is not None]
    assert set(begun) <= {"complete", "pruned", "failed"}, begun
    done = [str(t.config) for t in trials if t.done]
    assert len(done) == count
    assert len(set(done)) == count
