"""What an exploration is asked to do, and what that means: space, goal, protocol and the settings of its study."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.data.sources import load_dataset
from attendc.explore.budget import parse_budgets
from attendc.explore.candidate import Candidate
from attendc.explore.constraints import judge
from attendc.explore.cost import cost_of
from attendc.explore.protocol import fingerprint, protocol_of
from attendc.explore.search import Goal, Kind, Search, key_of, told_trial
from attendc.explore.space import read_space
from attendc.explore.storage import Heartbeat
from attendc.explore.study import Proposal
from attendc.explore.worker import name_of_this_process
from attendc.models.registry import config_of, input_of
from attendc.stages.train_config import DEFAULT_DATA

__all__ = ["STUDY_FILE", "ExploreRequest", "Prepared", "prepare"]

STUDY_FILE = "study.db"
_FIRST_CORE = "cortex-a76"
"""Whose instructions count where the budget names no core."""
_FORMAT = 1


@dataclass(frozen=True)
class ExploreRequest:
    """What to explore, how long, and where the results go.

    Attributes:
        output: the folder of the results, and of the study where no storage is named.
        space: a shipped space, or a YAML file.
        trials: designs to be trained, by all processes that work on the study, the baseline included.
        epochs: of a training that is not stopped early.
        budgets: limits as `cortex-a76:2.7M`; empty: those of the space.
        search: `synthesis` or `pareto`.
        baseline: a preset, or a .yaml with one, that is trained first and that limits may be parts of; empty: none.
        data: what to train on; only its training images are looked at.
        hold_out: part of the training images that accuracy is measured on.
        candidates: designs that are drawn for each trial and ranked by a proxy.
        jobs: processes on this computer, of one thread each.
        timeout: seconds after which no new trial is begun; None: never.
        storage: URL of a database that processes on several computers share; empty: a file in `output`.
        study: its name there; empty: the name of `output`.
        ablate: train the ablations of the winner too, instead of telling only what they cost.
        force: begin anew in a folder that holds another study.
        heartbeat: how fast a killed process is noticed.
    """

    output: Path
    space: str = "fashion-mnist"
    trials: int = 60
    epochs: int = 9
    budgets: tuple[str, ...] = ()
    search: Kind = "synthesis"
    baseline: str = ""
    data: str = DEFAULT_DATA
    hold_out: float = 0.1
    candidates: int = 4
    jobs: int = 1
    timeout: float | None = None
    storage: str = ""
    study: str = ""
    ablate: bool = False
    force: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    @property
    def url(self) -> str:
        """Return where the study lives."""
        return self.storage or f"sqlite:///{self.output.absolute() / STUDY_FILE}"

    @property
    def study_name(self) -> str:
        """Return what the study is called there."""
        return self.study or self.output.absolute().name


@dataclass(frozen=True)
class Prepared:
    """What a request means.

    Attributes:
        request: as given.
        search: how designs are found.
        settings: what all processes of the study must have in common.
        first: the baseline's trial, where there is one.
    """

    request: ExploreRequest
    search: Search
    settings: dict[str, Any]
    first: tuple[Proposal, ...]

    @property
    def objectives(self) -> tuple[str, ...]:
        """Return what Optuna is told of the values of a trial."""
        return ("maximize",) if self.search.kind == "synthesis" else ("maximize", "minimize")


def prepare(request: ExploreRequest, context: Context) -> Prepared:
    """Read space and data, and make numbers of the budget.

    Raises:
        RecipeError: if the space has faults.
        UsageError: if a budget or the baseline is none, or the file of the baseline has faults.
        DataError: if the data is missing.
    """
    space = read_space(request.space)
    budget = parse_budgets(request.budgets or space.budget)
    cores = budget.cores or (_FIRST_CORE,)
    dataset = load_dataset(request.data, seed=context.seed)
    protocol = protocol_of(dataset, epochs=request.epochs, part=request.hold_out, seed=context.seed)
    baseline = _baseline(request.baseline, protocol.classes, protocol.channels) if request.baseline else None
    budget = budget.against(cost_of(baseline, cores) if baseline is not None else None)
    goal = Goal(space.weights, cores[0], budget.accuracy)
    search = Search(request.search, space, budget, cores, goal, protocol, request.candidates, _salt(request))
    settings = {
        "format": _FORMAT,
        "space": space.as_dict(),
        "data": fingerprint(dataset.train),
        "epochs": request.epochs,
        "hold_out": request.hold_out,
        "seed": context.seed,
        "search": request.search,
        "budget": budget.as_dict(),
        "core": goal.core,
        "candidates": request.candidates,
        "baseline": None if baseline is None else baseline.as_dict(),
    }
    return Prepared(request, search, settings, _first(baseline, search))


def _salt(request: ExploreRequest) -> int:
    """Return 0 for a process that works alone, which can be repeated; else a number of its own.

    Processes that drew by the same random numbers would draw the same designs.
    """
    alone = request.jobs == 1 and not request.storage
    return 0 if alone else zlib.crc32(name_of_this_process().encode())


def _baseline(name: str, classes: int, channels: int) -> Candidate:
    _, height, width = input_of(name)
    return Candidate(replace(config_of(name), classes=classes, in_channels=channels), height, width)


def _first(baseline: Candidate | None, search: Search) -> tuple[Proposal, ...]:
    if baseline is None:
        return ()
    constraints: Sequence[Any] = search.constraints
    verdict = judge(baseline, constraints, search.cores)
    cost = verdict.cost or cost_of(baseline, search.cores)  # the second raises what the first has found
    facts = told_trial(baseline, verdict.constraints, cost)
    return (Proposal(key_of(baseline), {**facts, "proxies": search.protocol.proxies(baseline), "baseline": True}),)
