"""A study that any number of processes work on: whose trial is whose, and that none is lost or done twice.

The rules, each of which follows from the list of trials alone, so that no process needs to ask another:
1. A trial is written whole (design, costs, proxies) as `waiting` before anybody trains it.
2. Who trains it first gives a sign of life and then takes it, which only one process can.
3. Of two live trials with the same design, the one with the lower number is trained and the other withdrawn. Numbers
   are given in the order of writing, so each process sees every lower number when it looks after its own write.
4. Of the live trials in the order of their numbers, the first N are trained: so exactly N get done. A trial that is
   tried again keeps the place of the killed one, so that no later design takes it.
5. A running trial without a sign of life counts as killed: it fails, and its design waits again under a new number
   (`retry_of`), at most `MOST_RETRIES` times. Until that number is written the killed one counts as live.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from attendc.errors import UsageError
from attendc.explore.storage import Heartbeat, LostStorageError, masked, open_storage
from attendc.explore.trial import State, Trial

__all__ = ["MOST_RETRIES", "Proposal", "Study", "TakenOverError", "open_study", "trial_of"]

MOST_RETRIES = 3
"""A design whose process dies each time (out of memory, say) is given up after so many."""

_SETTINGS = "settings"
_SECONDS_TO_SETTINGS = 10.0
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class TakenOverError(Exception):
    """The trial was given to another process, since this one gave no sign of life for too long."""


@dataclass(frozen=True)
class Proposal:
    """A trial to be.

    Attributes:
        key: equal for equal designs.
        facts: the fields of `Trial` that are known before training.
        sizes: dimension -> how many choices it has.
        refused: constraint -> how many designs were drawn for this trial and broke it.
    """

    key: str
    facts: Mapping[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """An open study.

    Attributes:
        name: of the study in its storage.
        url: of the storage, without a password.
        storage: Optuna's.
        optuna: the study as Optuna has it.
        heartbeat: of its trials.
        worker: `host:process` of this one.
    """

    name: str
    url: str
    storage: RDBStorage
    optuna: optuna.Study
    heartbeat: Heartbeat
    worker: str

    @property
    def id(self) -> int:
        """Return the number of the study in its storage."""
        return int(self.storage.get_study_id_from_name(self.name))

    def close(self) -> None:
        """Close the connections to the storage."""
        _close(self.storage)

    def frozen(self) -> list[FrozenTrial]:
        """Return all trials as Optuna has them, by number."""
        return self.optuna.get_trials(deepcopy=False)

    def trials(self) -> tuple[Trial, ...]:
        """Return all trials by number."""
        return tuple(trial_of(t) for t in self.frozen())

    def keys(self) -> frozenset[str]:
        """Return the keys of all designs that were ever written, those of failed trials too."""
        return frozenset(t.user_attrs["key"] for t in self.frozen())

    def refused(self) -> dict[str, int]:
        """Return constraint -> how many designs broke it, over all processes, the most frequent first."""
        total: Counter[str] = Counter()
        for trial in self.frozen():
            total.update(trial.user_attrs.get("refused", {}))
        return dict(total.most_common())

    def add(self, proposal: Proposal) -> int:
        """Write a trial that waits to be trained; return its number."""
        choices = proposal.facts.get("choices", {})
        attrs = {"facts": dict(proposal.facts), "key": proposal.key, "refused": dict(proposal.refused), "attempt": 0}
        template = create_trial(
            state=TrialState.WAITING,
            params=dict(choices),
            distributions={n: CategoricalDistribution(tuple(range(proposal.sizes[n]))) for n in choices},
            user_attrs=attrs,
        )
        return self._number(self.storage.create_new_trial(self.id, template))

    def repair(self) -> None:
        """Give the designs of killed processes a new trial (rule 5)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.optuna)
        for trial in _orphans(self.frozen()):
            # Who failed it writes the new trial at once; unless it was killed in between, which shows by the time.
            if _seconds_since(trial.datetime_complete) > self.heartbeat.grace:
                _try_again(self.optuna, trial)

    def claim(self, count: int) -> FrozenTrial | None:
        """Take the first trial that waits and is among the `count` to be done; None: there is none."""
        trials = self.frozen()
        live = _live(trials)
        for index, trial in enumerate(live):
            if trial.state != TrialState.WAITING:
                continue
            same = [t for t in live[:index] if t.user_attrs["key"] == trial.user_attrs["key"]]
            if same:
                self._withdraw(trial, f"the same design as trial {same[0].number}")
            elif index < count and self._take(trial):
                return self.storage.get_trial(trial._trial_id)
        return None

    def live(self) -> int:
        """Return how many trials are done, running, waiting or about to be tried again."""
        return len(_live(self.frozen()))

    def running(self) -> int:
        """Return how many trials some process is training, or was when it was killed."""
        trials = self.frozen()
        return sum(t.state == TrialState.RUNNING for t in trials) + len(_orphans(trials))

    def write(self, trial: FrozenTrial, **attributes: Any) -> None:
        """Keep what training showed.

        Raises:
            TakenOverError: if the trial is no longer this process's.
        """
        with self._own(trial):
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(trial._trial_id, name, value)

    def report(self, trial: FrozenTrial, epochs: int, value: float) -> FrozenTrial:
        """Tell Optuna the value that its pruners compare; return the trial as it is now.

        Raises:
            TakenOverError: if the trial is no longer this process's.
        """
        with self._own(trial):
            self.storage.set_trial_intermediate_value(trial._trial_id, epochs, value)
        return self.storage.get_trial(trial._trial_id)

    def finish(self, trial: FrozenTrial, state: State, values: Sequence[float] | None = None) -> None:
        """End a trial as `complete`, `pruned` or `failed`, or hand it back as `waiting`.

        Raises:
            TakenOverError: if the trial is no longer this process's.
        """
        wanted = next(o for o, ours in _STATES.items() if ours == state)
        with self._own(trial):
            self.storage.set_trial_state_values(trial._trial_id, wanted, values)

    @contextmanager
    def alive(self, trial: FrozenTrial) -> Iterator[None]:
        """Give signs of life of a trial from another thread."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self.heartbeat.interval):
                with suppress(*LostStorageError):  # it may be back in time; if not, the main thread meets it too
                    self.storage.record_heartbeat(trial._trial_id)
            self.storage.remove_session()

        thread = threading.Thread(target=beat, name=f"heartbeat of trial {trial.number}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _number(self, trial_id: int) -> int:
        return int(self.storage.get_trial(trial_id).number)

    def _take(self, trial: FrozenTrial) -> bool:
        """Take a waiting trial; the sign of life comes first, so that it can never be running without one."""
        try:
            self.storage.record_heartbeat(trial._trial_id)
            if not self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        self.write(trial, worker=self.worker, rungs=[], seconds=0.0)
        return True

    def _withdraw(self, trial: FrozenTrial, why: str) -> None:
        with suppress(UpdateFinishedTrialError):  # by another process
            self.storage.set_trial_user_attr(trial._trial_id, "error", why)
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    @contextmanager
    def _own(self, trial: FrozenTrial) -> Iterator[None]:
        try:
            yield
        except UpdateFinishedTrialError as e:
            raise TakenOverError(f"trial {trial.number} was given to another process") from e


def trial_of(frozen: FrozenTrial) -> Trial:
    """Return a trial of Optuna's as ours."""
    attrs = frozen.user_attrs
    state = _STATES[frozen.state]
    rungs = tuple(attrs.get("rungs", ()))
    error = attrs.get("error", "")
    if state == "failed" and not error:
        error = f"the process {attrs.get('worker', '')} was killed"
    return Trial(
        number=frozen.number,
        state=state,
        **attrs["facts"],
        rungs=rungs,
        accuracy=rungs[-1]["accuracy"] if rungs else None,
        performance=attrs.get("performance") if rungs else None,
        seconds=attrs.get("seconds", 0.0),
        worker=attrs.get("worker", ""),
        retry_of=attrs.get("retry_of"),
        error=error,
    )


def _try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Write the design of a killed process as a new trial, unless it has killed too many."""
    attempt = trial.user_attrs["attempt"] + 1
    if attempt > MOST_RETRIES:
        return
    attrs = {k: trial.user_attrs[k] for k in ("facts", "key")} | {"attempt": attempt, "retry_of": trial.number}
    template = create_trial(
        state=TrialState.WAITING, params=trial.params, distributions=trial.distributions, user_attrs=attrs
    )
    study.add_trial(template)


def _seconds_since(moment: datetime | None) -> float:
    return 0.0 if moment is None else (datetime.now() - moment).total_seconds()


def _orphans(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials whose process was killed and that no other trial tries again yet."""
    retried = {t.user_attrs.get("retry_of") for t in trials}
    return [
        t
        for t in trials
        if t.state == TrialState.FAIL
        and "error" not in t.user_attrs
        and t.number not in retried
        and t.user_attrs["attempt"] < MOST_RETRIES
    ]


def _live(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards N, by number; one that is tried again keeps the place that it had first."""
    orphans = {t.number for t in _orphans(trials)}
    of = {t.number: t.user_attrs.get("retry_of") for t in trials}

    def place(number: int) -> int:
        before = of[number]
        return number if before is None else place(before)

    return sorted(
        (t for t in trials if t.state != TrialState.FAIL or t.number in orphans), key=lambda t: place(t.number)
    )


def open_study(
    url: str, name: str, settings: Mapping[str, Any], objectives: Sequence[str], heartbeat: Heartbeat, worker: str
) -> Study:
    """Open or create a study; `settings` are what all of its processes must have in common.

    Args:
        url: of the storage, as the user gave it.
        name: of the study there.
        settings: JSON; kept with the study by the process that creates it.
        objectives: `maximize` or `minimize` for each value of a trial.
        heartbeat: of its trials.
        worker: `host:process` of this one.

    Raises:
        UsageError: if the storage cannot be opened, or the study there has other settings.
    """
    storage = open_storage(url, heartbeat, _try_again)
    try:
        opened = _opened(storage, name, settings, [StudyDirection[o.upper()] for o in objectives])
        return Study(name, masked(url), storage, opened, heartbeat, worker)
    except BaseException:
        _close(storage)
        raise


def _opened(
    storage: RDBStorage, name: str, settings: Mapping[str, Any], directions: Sequence[StudyDirection]
) -> optuna.Study:
    try:
        created = optuna.create_study(storage=storage, study_name=name, directions=directions)
    except DuplicatedStudyError:
        found = optuna.load_study(storage=storage, study_name=name)
        _check_same(name, _settings_of(found, settings), settings)
        return found
    created.set_user_attr(_SETTINGS, dict(settings))
    return created


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _settings_of(opened: optuna.Study, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a study; one whose creator was killed before it wrote them gets ours."""
    until = time.monotonic() + _SECONDS_TO_SETTINGS
    while time.monotonic() < until:
        kept: Mapping[str, Any] | None = opened.user_attrs.get(_SETTINGS)
        if kept is not None:
            return kept
        time.sleep(0.1)
    opened.set_user_attr(_SETTINGS, dict(own))
    return own


def _check_same(name: str, kept: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    wrong = [k for k in dict.fromkeys([*kept, *own]) if kept.get(k) != own.get(k)]
    if wrong:
        told = "; ".join(f"{k} is {_short(own.get(k))}, there it is {_short(kept.get(k))}" for k in wrong)
        raise UsageError(
            f"the study {name!r} was begun with other settings: {told}",
            hint="Give the same options, or another --study or -o for a new one",
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
