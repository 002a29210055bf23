"""One process that works on a study: it takes trials, trains them, and draws new ones until N are done.

What happens to it may happen to any: it may be killed (another one trains its trial), interrupted (it hands its trial
back), or too slow to give signs of life (another one trains its trial, and it drops it).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from attendc.errors import AttendcError
from attendc.explore.candidate import candidate_from
from attendc.explore.front import dominates
from attendc.explore.protocol import REDUCTION, rungs
from attendc.explore.search import Search, propose
from attendc.explore.study import Proposal, Study, TakenOverError, trial_of
from attendc.explore.trial import Trial

__all__ = ["Work", "name_of_this_process", "work_on"]

_LONGEST_WAIT = 2.0
_MOST_ERRORS = 3
"""Trials that may fail one after another in one process: then it is no fault of the designs."""


@dataclass(frozen=True)
class Work:
    """What a process does with a study.

    Attributes:
        trials: to be done in all, by all processes.
        until: seconds of `time.monotonic` after which no new trial is begun; None: never.
        first: trials that the study begins with, if they are not there yet.
        propose: whether new ones are drawn; else there are only those of `first`.
        say: told in a line what happens.
        look: called with all trials whenever something may have changed.
    """

    trials: int
    until: float | None = None
    first: Sequence[Proposal] = ()
    propose: bool = True
    say: Callable[[str], None] = field(default=lambda text: None)
    look: Callable[[Sequence[Trial]], None] = field(default=lambda trials: None)

    @property
    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self.until is not None and time.monotonic() >= self.until


class _PrunedError(Exception):
    """Ends the training of a trial from inside."""


def name_of_this_process() -> str:
    """Return `host:process`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def work_on(study: Study, search: Search, work: Work) -> None:
    """Work until `work.trials` are done, the time is up, or nothing new can be drawn; wait for others' trials.

    Raises:
        AttendcError: if three trainings in a row fail, or nothing that is drawn holds the constraints.
        KeyboardInterrupt: as it came, with the trial handed back.
    """
    errors = 0
    exhausted = not work.propose
    if not work.is_over:
        _begin(study, work)
    while not work.is_over:
        study.repair()
        work.look(study.trials())
        claimed = study.claim(work.trials)
        if claimed is not None:
            error = _train(study, search, claimed, work)
            errors = 0 if error is None else errors + 1
            if error is not None and errors == _MOST_ERRORS:
                raise error
        elif not exhausted and study.live() < work.trials:
            proposal = _proposal(study, search)
            exhausted = proposal is None
            if proposal is not None:
                study.add(proposal)
            elif not study.running():
                work.say("the space holds no other designs that keep the constraints")
        elif study.running():
            time.sleep(min(_LONGEST_WAIT, study.heartbeat.interval / 4))
        else:
            break
    work.look(study.trials())


def _begin(study: Study, work: Work) -> None:
    """Write the trials that the study begins with; two processes may both do so, and one of each is withdrawn."""
    if work.first:
        keys = study.keys()
        for proposal in work.first:
            if proposal.key not in keys:
                study.add(proposal)


def _proposal(study: Study, search: Search) -> Proposal | None:
    return propose(search, study.trials(), study.keys())


def _train(study: Study, search: Search, claimed: FrozenTrial, work: Work) -> AttendcError | None:
    """Train one trial and tell how it ended; what it failed with is returned and kept with it."""
    started, measured = time.monotonic(), _Measured(study, search, claimed, work)
    told = trial_of(claimed)
    try:
        with study.alive(claimed):
            try:
                work.say(f"trial {told.number}: {told.params:,} parameters, {_cost(told, search)}")
                search.protocol.train_candidate(candidate_from(told.config), measured)
                study.finish(claimed, "complete", measured.values())
            except _PrunedError:
                study.finish(claimed, "pruned", measured.values() if search.kind == "synthesis" else None)
            except AttendcError as e:
                study.write(claimed, error=str(e), seconds=round(time.monotonic() - started, 2))
                study.finish(claimed, "failed")
                work.say(f"trial {told.number} failed: {e}")
                return e
            except KeyboardInterrupt:
                study.finish(claimed, "waiting")
                raise
            except TakenOverError:
                raise
            except Exception as e:
                study.write(claimed, error=f"{type(e).__name__}: {e}")
                study.finish(claimed, "failed")
                raise
    except TakenOverError as e:
        work.say(f"{e}, since this one gave no sign of life for {study.heartbeat.grace} s")
        return None
    work.say(f"trial {told.number}: {measured.told()} after {time.monotonic() - started:.0f} s")
    return None


def _cost(trial: Trial, search: Search) -> str:
    return f"{trial.instructions[search.goal.core] / 1e6:.2f} M instructions on {search.goal.core}"


class _Measured:
    """What is told after each epoch: keeps the rungs of the trial, and stops it where others are better."""

    def __init__(self, study: Study, search: Search, claimed: FrozenTrial, work: Work) -> None:
        self.study, self.search, self.claimed, self.work = study, search, claimed, work
        self.trial = trial_of(claimed)
        self.rungs: list[dict[str, float]] = []
        self.stops = () if self.trial.baseline or not work.propose else rungs(search.protocol.epochs)
        self.started = time.monotonic()

    def __call__(self, epochs: int, accuracy: float) -> None:
        """Keep the accuracy after a rung and after the last epoch.

        Raises:
            _PrunedError: if the trial is to be pruned.
            TakenOverError: if it is no longer this process's.
        """
        if epochs not in (*rungs(self.search.protocol.epochs), self.search.protocol.epochs):
            return
        self.rungs.append({"epochs": epochs, "accuracy": round(accuracy, 6)})
        self.study.write(
            self.claimed,
            rungs=self.rungs,
            performance=round(self.search.goal.performance(accuracy, self.trial), 4),
            seconds=round(time.monotonic() - self.started, 2),
        )
        if epochs in self.stops and self.is_beaten(epochs, accuracy):
            raise _PrunedError

    def is_beaten(self, epochs: int, accuracy: float) -> bool:
        """Return whether too many others were better at this rung."""
        now = self.study.report(self.claimed, epochs, self.search.goal.steering(accuracy, self.trial))
        if self.search.kind == "synthesis":
            pruner = SuccessiveHalvingPruner(
                min_resource=rungs(self.search.protocol.epochs)[0], reduction_factor=REDUCTION
            )
            return pruner.prune(self.study.optuna, now)
        core = self.search.goal.core
        return is_dominated(self.study.trials(), self.trial, epochs, accuracy, core)

    def values(self) -> list[float]:
        """Return what Optuna maximises, or maximises and minimises."""
        accuracy = self.rungs[-1]["accuracy"]
        if self.search.kind == "synthesis":
            return [self.search.goal.steering(accuracy, self.trial)]
        return [accuracy, self.trial.instructions[self.search.goal.core]]

    def told(self) -> str:
        """Return the last measurement in words."""
        last = self.rungs[-1]
        return f"{last['accuracy']:.2%} after {last['epochs']:.0f} of {self.search.protocol.epochs} epochs"


def is_dominated(trials: Sequence[Trial], trial: Trial, epochs: int, accuracy: float, core: str) -> bool:
    """Return whether a trial is to be stopped at a rung of a search with two objectives.

    Optuna's pruners know one objective only. The rule is theirs of successive halving, with dominance for order: of n
    trials that were measured at this rung a trial goes on if fewer than n / `REDUCTION`, but at least 1, were better,
    where better is more accurate at no more instructions or cheaper at no less accuracy.
    """
    others = [
        (rung["accuracy"], t.instructions[core])
        for t in trials
        for rung in t.rungs
        if rung["epochs"] == epochs and t.number != trial.number and t.state != "failed"
    ]
    own = (accuracy, trial.instructions[core])
    better = sum(dominates(other, own) for other in others)
    return better >= max(1, (len(others) + 1) // REDUCTION)
