"""One trial of a study, as plain data: a design, what it costs, and what training it showed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["State", "Trial"]

State = Literal["complete", "pruned", "failed", "running", "waiting"]


@dataclass(frozen=True)
class Trial:
    """A trial as the study keeps it.

    Attributes:
        number: of the trial in its study, from 0 in the order of creation.
        state: `complete` (trained to the end), `pruned` (trained to a rung and stopped there), `failed` (killed,
            withdrawn, or its training ended with an error), `running` or `waiting`.
        config: the design, as `Candidate.as_dict()` gives it: the config of the member, and `input_size`.
        choices: dimension of the space -> index of the choice; empty for the baseline.
        constraints: name -> why it is broken; empty text: it holds.
        params: parameters.
        macs: multiply-accumulates of one inference.
        bytes: of the int8 TFLite file, estimated.
        memory: peak bytes of int8 activations.
        instructions: core -> int8 instructions of one inference.
        proxies: name -> score without training.
        rungs: {"epochs": n, "accuracy": 0..1} of each measurement during training, in order.
        accuracy: 0..1 on the held-out images after the last epoch that was trained; None before the first rung.
        performance: U of that accuracy, in dB; None like it.
        seconds: spent on training.
        worker: `host:process` that trained it last.
        retry_of: number of the killed trial whose design this one trains again.
        baseline: whether it is the network that the search is compared with.
        error: why it failed.
    """

    number: int
    state: State
    config: Mapping[str, Any]
    choices: Mapping[str, int] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    params: int = 0
    macs: int = 0
    bytes: int = 0
    memory: int = 0
    instructions: Mapping[str, float] = field(default_factory=dict)
    proxies: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[Mapping[str, float], ...] = ()
    accuracy: float | None = None
    performance: float | None = None
    seconds: float = 0.0
    worker: str = ""
    retry_of: int | None = None
    baseline: bool = False
    error: str = ""

    @property
    def done(self) -> bool:
        """True where nothing is left to train: these are the trials that are counted."""
        return self.state in ("complete", "pruned")

    @property
    def feasible(self) -> bool:
        """True where every constraint holds."""
        return not any(self.constraints.values())

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON takes them."""
        return dataclasses.asdict(self)
