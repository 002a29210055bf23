"""The two phases of an exploration: the search, and then the ablations of its winner, where they are asked for.

Every process on every computer goes through both. What the second is about follows from the finished trials of the
first, so that all agree on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import torch

from attendc.context import Context
from attendc.errors import OutputError
from attendc.explore.ablations import Ablation, plan
from attendc.explore.candidate import candidate_from
from attendc.explore.request import Prepared
from attendc.explore.search import Search, key_of, told_trial
from attendc.explore.storage import LostStorageError, masked
from attendc.explore.study import Proposal, Study, open_study
from attendc.explore.trial import Trial
from attendc.explore.worker import Work, name_of_this_process, work_on

__all__ = ["ablations_of", "explore", "open_search", "trained_ablations", "winner_of"]

Look = Callable[[Sequence[Trial]], None]


def explore(prepared: Prepared, context: Context, look: Look | None = None) -> None:
    """Work on a study until it is done, or the time is up; on one thread.

    Raises:
        UsageError: if the study cannot be opened or has other settings, or no design holds the constraints.
        OutputError: if the database is gone.
        AttendcError: if trainings fail.
    """
    request = prepared.request
    until = None if request.timeout is None else time.monotonic() + request.timeout
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with closing(open_search(prepared)) as study:
            watched = look or (lambda trials: None)
            work = Work(request.trials, until, prepared.first, say=context.say, look=watched)
            work_on(study, prepared.search, work)
            best = winner_of(study.trials(), prepared.search)
        if request.ablate and best is not None:
            wanted = _proposals(ablations_of(best, prepared.search))
            with closing(_open_ablations(prepared, best)) as study:
                work_on(study, prepared.search, Work(len(wanted), until, wanted, propose=False, say=context.say))
    except LostStorageError as e:
        raise OutputError(
            f"the study at {masked(request.url)} does not answer any more: {type(e.__cause__ or e).__name__}",
            hint="The same command again goes on with it",
        ) from e
    finally:
        torch.set_num_threads(threads)


def open_search(prepared: Prepared) -> Study:
    """Open or create the study of the search.

    Raises:
        UsageError: if it cannot be opened, or has other settings.
    """
    return _open(prepared, prepared.request.study_name, prepared.settings)


def winner_of(trials: Sequence[Trial], search: Search) -> Trial | None:
    """Return the trial of the best U among those trained to the end that break nothing and are accurate enough."""
    least = search.goal.accuracy or 0.0
    fit = [t for t in trials if t.state == "complete" and t.feasible and (t.accuracy or 0.0) >= least]
    return max(fit, key=lambda t: (t.performance or 0.0, -t.number), default=None)


def ablations_of(winner: Trial, search: Search) -> tuple[Ablation, ...]:
    """Return the plan: each part of the winner taken back alone."""
    return plan(candidate_from(winner.config), search.space, search.constraints, search.cores)


def trained_ablations(prepared: Prepared, winner: Trial) -> Mapping[str, float]:
    """Return the key of each ablation that was trained to the end -> its accuracy."""
    with closing(_open_ablations(prepared, winner)) as study:
        trials = study.trials()
    return {
        key_of(candidate_from(t.config)): t.accuracy for t in trials if t.state == "complete" and t.accuracy is not None
    }


def _open_ablations(prepared: Prepared, winner: Trial) -> Study:
    name = f"{prepared.request.study_name}: ablations of trial {winner.number}"
    return _open(prepared, name, {**prepared.settings, "ablations_of": winner.number})


def _open(prepared: Prepared, name: str, settings: Mapping[str, object]) -> Study:
    request = prepared.request
    return open_study(request.url, name, settings, prepared.objectives, request.heartbeat, name_of_this_process())


def _proposals(ablations: Sequence[Ablation]) -> tuple[Proposal, ...]:
    """Return a trial for each; two that come to the same layers are one."""
    found: dict[str, Proposal] = {}
    for one in ablations:
        key = key_of(one.candidate)
        broken = dict.fromkeys(one.breaks, "given up")
        found.setdefault(key, Proposal(key, told_trial(one.candidate, broken, one.cost)))
    return tuple(found.values())
