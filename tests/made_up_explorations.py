"""The result of an exploration in which nothing was trained.

Designs, costs, refusals, front, parts, correlations and ablations come from the functions that a search uses; only
accuracies and scores are made up.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any, Literal

import numpy as np

from attendc.explore.ablations import plan
from attendc.explore.budget import parse_budgets
from attendc.explore.candidate import Candidate, candidate_from
from attendc.explore.constraints import BUILDABLE, PRACTICES, Constraint, judge, limits
from attendc.explore.correlation import measured_proxies
from attendc.explore.cost import Cost, cost_of
from attendc.explore.front import front
from attendc.explore.generator import uniform
from attendc.explore.inquisitor import learn
from attendc.explore.performance import Weights, performance
from attendc.explore.space import read_space
from attendc.explore.trial import Trial
from attendc.models.attendnext import PRESETS

__all__ = ["CORE", "a_result"]

CORE = "cortex-a76"
_CORES = (CORE, "cortex-a72")
_BUDGET = parse_budgets(("cortex-a76:2.7M", "params:0.5M"))
_CONSTRAINTS: tuple[Constraint, ...] = (*PRACTICES, *limits(_BUDGET))
_NANO = Candidate(PRESETS["attendnext_nano"], 32, 32)


def a_result(trials: int = 24, *, ablate: bool = True, **changed: Any) -> dict[str, Any]:
    """Return the result of a search in the shipped space, with `trials` designs beside the baseline."""
    space = read_space("fashion-mnist")
    drawn, refused = _drawn(trials)
    made = [_trial(0, _NANO, {}), *(_trial(k, c, choices) for k, (c, choices) in enumerate(drawn, 1))]
    made += [_killed(made[-1], len(made))]
    best = max(
        (t for t in made if t.state == "complete" and t.feasible), key=lambda t: t.performance or 0, default=None
    )
    ablations = plan(candidate_from(best.config), space, _CONSTRAINTS, _CORES) if best else ()
    seen = [(t.choices, t.performance or 0.0) for t in made if t.choices and t.rungs]
    base = made[0].as_json()
    result = {
        "study": "found",
        "storage": "postgresql://ada:***@host/studies",
        "command": "attendc explore fashion-mnist --trials 25 --epochs 9 --baseline attendnext_nano -o found",
        "search": "synthesis",
        "data": "fashion-mnist-mini",
        "held_out": 600,
        "epochs": 9,
        "seed": 0,
        "space": space.as_dict(),
        "budget": _BUDGET.as_dict(),
        "core": CORE,
        "weights": dataclasses.asdict(Weights()),
        "trials": [t.as_json() for t in made],
        "front": list(front(made, CORE)),
        "winner": best.number if best else None,
        "baseline": {"name": "attendnext_nano", **{k: base[k] for k in (*_COSTS, "config", "accuracy")}},
        "constraints": [
            {"name": BUILDABLE, "source": "the shapes of its layers"},
            *({"name": c.name, "source": c.source} for c in _CONSTRAINTS),
        ],
        "refused": dict(refused.most_common()),
        "proxies": measured_proxies(made),
        "parts": [dataclasses.asdict(p) for p in learn(space, seen)],
        "ablations": [
            a.as_dict() | ({"accuracy": _accuracy(a.candidate, a.cost)} if ablate else {}) for a in ablations
        ],
        "seconds": sum(t.seconds for t in made),
    }
    return result | changed


_COSTS = ("params", "macs", "bytes", "memory", "instructions")


def _drawn(count: int) -> tuple[list[tuple[Candidate, dict[str, int]]], Counter[str]]:
    """Return designs that hold every constraint, with their choices, and which ones the others broke."""
    space, rng = read_space("fashion-mnist"), np.random.default_rng(0)
    generator, refused = uniform(space), Counter[str]()
    found: list[tuple[Candidate, dict[str, int]]] = []
    while len(found) < count:
        choices = generator.draw(rng)
        candidate = space.candidate(choices, classes=10, in_channels=1)
        verdict = judge(candidate, _CONSTRAINTS, _CORES)
        refused.update(name for name, why in verdict.constraints.items() if why)
        if verdict.holds:
            found.append((candidate, choices))
    return found, refused


def _accuracy(candidate: Candidate, cost: Cost) -> float:
    """Return what training might reach: more with more to compute, and some chance by the design."""
    chance = (sum(candidate.key.encode()) % 100) / 10_000
    return round(0.80 + 0.02 * math.log10(cost.macs) - 0.02 + chance, 4)


def _trial(number: int, candidate: Candidate, choices: dict[str, int]) -> Trial:
    """Return a trial: each third one was stopped at its first rung."""
    cost, accuracy = cost_of(candidate, _CORES), _accuracy(candidate, cost_of(candidate, _CORES))
    state: Literal["pruned", "complete"] = "pruned" if number % 3 == 2 else "complete"
    reached = ((1, round(accuracy - 0.06, 4)), *(((9, accuracy),) if state == "complete" else ()))
    last = reached[-1][1]
    return Trial(
        number=number,
        state=state,
        config=candidate.as_dict(),
        choices=choices,
        constraints=judge(candidate, _CONSTRAINTS, _CORES).constraints,
        **{name: getattr(cost, name) for name in _COSTS[:-1]},
        instructions=dict(cost.instructions),
        proxies={"naswot": accuracy, "synflow": -accuracy, "grad_norm": float(number % 5), "snip": 1.0},
        rungs=tuple({"epochs": epochs, "accuracy": value} for epochs, value in reached),
        accuracy=last,
        performance=round(performance(last, cost.params, cost.instructions[CORE]), 4),
        seconds=14.0 + number,
        worker=f"host:{100 + number % 2}",
        baseline=not choices,
    )


def _killed(trial: Trial, number: int) -> Trial:
    """Return a trial that was killed before its first rung; another one trains its design again."""
    error = "the process host:100 was killed"
    nothing: dict[str, Any] = {"rungs": (), "accuracy": None, "performance": None, "seconds": 0.0}
    return dataclasses.replace(trial, number=number, state="failed", error=error, **nothing)
