"""The result of an exploration as plain data: what `--json` prints, and the page is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from attendc.explore.command import command_of
from attendc.explore.constraints import BUILDABLE
from attendc.explore.correlation import measured_proxies
from attendc.explore.front import front
from attendc.explore.inquisitor import learn
from attendc.explore.phases import ablations_of, open_search, trained_ablations, winner_of
from attendc.explore.request import Prepared
from attendc.explore.search import Search, key_of, learned_from
from attendc.explore.trial import Trial

__all__ = ["result_of"]

_COSTS = ("params", "macs", "bytes", "memory")


def result_of(prepared: Prepared) -> dict[str, Any]:
    """Return everything that the study knows now; `seconds` are those of all trainings in all processes.

    Raises:
        UsageError: if the study cannot be opened.
    """
    search, request = prepared.search, prepared.request
    with closing(open_search(prepared)) as study:
        trials, refused = study.trials(), study.refused()
    winner = winner_of(trials, search)
    parts = [dataclasses.asdict(p) for p in learn(search.space, learned_from(trials, search.goal))]
    return {
        "study": study.name,
        "storage": study.url,
        "command": command_of(request, seed=search.protocol.seed),
        "search": search.kind,
        "data": request.data,
        "held_out": len(search.protocol.held_out),
        "epochs": request.epochs,
        "seed": search.protocol.seed,
        "space": search.space.as_dict(),
        "budget": search.budget.as_dict(),
        "core": search.goal.core,
        "weights": dataclasses.asdict(search.goal.weights),
        "trials": [t.as_json() for t in trials],
        "front": list(front(trials, search.goal.core)),
        "winner": None if winner is None else winner.number,
        "baseline": _baseline(request.baseline, trials),
        "constraints": _sources(search),
        "refused": refused,
        "proxies": measured_proxies(trials),
        "parts": parts,
        "ablations": [] if winner is None else _ablations(prepared, search, winner),
        "seconds": round(sum(t.seconds for t in trials), 1),
    }


def _sources(search: Search) -> list[dict[str, str]]:
    """Return every constraint with where it comes from."""
    asked_first = {"name": BUILDABLE, "source": "the shapes of its layers"}
    return [asked_first, *({"name": c.name, "source": c.source} for c in search.constraints)]


def _baseline(name: str, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Return the baseline's trial: the one that was trained to the end, or else the first."""
    found = sorted((t for t in trials if t.baseline), key=lambda t: (t.state != "complete", t.number))
    if not found:
        return None
    one = found[0].as_json()
    return {"name": name, **{k: one[k] for k in ("config", *_COSTS, "instructions", "accuracy")}}


def _ablations(prepared: Prepared, search: Search, winner: Trial) -> list[dict[str, Any]]:
    """Return the plan, with the accuracies of those that were trained."""
    planned = ablations_of(winner, search)
    reached: Mapping[str, float] = trained_ablations(prepared, winner) if prepared.request.ablate else {}
    return [{**one.as_dict(), "accuracy": reached.get(key_of(one.candidate))} for one in planned]
