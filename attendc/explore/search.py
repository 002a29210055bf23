"""What is trained next: designs are drawn, judged by arithmetic, ranked by a proxy, and the first one becomes a trial.

Two searches, both of which go by the finished trials alone, so that any number of processes share them:
- `synthesis` maximises U. Source: generative synthesis, arXiv 1809.05989: an inquisitor looks at what was generated,
  and a generator is changed by what it learned.
- `pareto` maximises accuracy and minimises instructions. Source: the multi-objective TPE of Optuna, GECCO 2020, Ozaki
  et al., "Multiobjective tree-structured Parzen estimator".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial

from attendc.errors import UsageError
from attendc.explore.budget import Budget
from attendc.explore.candidate import Candidate, candidate_from
from attendc.explore.constraints import PRACTICES, Constraint, judge, limits
from attendc.explore.correlation import best_proxy
from attendc.explore.cost import Cost
from attendc.explore.generator import uniform
from attendc.explore.inquisitor import generator_after, learn
from attendc.explore.performance import Weights, performance
from attendc.explore.protocol import Protocol
from attendc.explore.space import Space
from attendc.explore.study import Proposal
from attendc.explore.trial import Trial
from attendc.models.layout import layout

__all__ = ["MOST_DRAWN", "Goal", "Kind", "Search", "key_of", "propose", "told_trial"]

Kind = Literal["synthesis", "pareto"]
Draw = Callable[[], dict[str, int]]
Refuse = Callable[[Mapping[str, int]], None]

MOST_DRAWN = 2000
"""Designs that are drawn for one trial at most; where constraints leave so little, they or the space must change."""

_LEARNS_FROM = 6
"""Trials before which the generator draws evenly."""
_DECIBELS_PER_POINT = 2.0
"""What a point of accuracy that is lacking costs in U, so that a search first reaches the accuracy asked for."""


@dataclass(frozen=True)
class Goal:
    """What is best.

    Attributes:
        weights: of U.
        core: whose instructions count in U and on the front.
        accuracy: the least, 0..1; None: any.
    """

    weights: Weights
    core: str
    accuracy: float | None = None

    def performance(self, accuracy: float, cost: Cost | Trial) -> float:
        """Return U of a design with that accuracy."""
        return performance(accuracy, cost.params, cost.instructions[self.core], self.weights)

    def steering(self, accuracy: float, cost: Cost | Trial) -> float:
        """Return what the search maximises: U, less for each point of accuracy that is lacking.

        Where too little accuracy were simply refused, as the indicator of 1809.05989 has it, nothing could be learned
        before the first design that reaches it.
        """
        lacking = max(0.0, (self.accuracy or 0.0) - accuracy)
        return self.performance(accuracy, cost) - _DECIBELS_PER_POINT * 100 * lacking


@dataclass(frozen=True)
class Search:
    """How designs are found.

    Attributes:
        kind: `synthesis` or `pareto`.
        space: of the designs.
        budget: limits, as numbers.
        cores: whose instructions are counted.
        goal: what is best.
        protocol: how they are trained.
        candidates: designs that hold all constraints, drawn for each trial and ranked by a proxy.
        salt: of the random numbers: 0, or one for each process where there are several.
    """

    kind: Kind
    space: Space
    budget: Budget
    cores: tuple[str, ...]
    goal: Goal
    protocol: Protocol
    candidates: int
    salt: int = 0

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Return what a design must hold to be built."""
        return (*PRACTICES, *limits(self.budget))


def propose(search: Search, trials: Sequence[Trial], keys: frozenset[str]) -> Proposal | None:
    """Return the next trial; None if nothing is drawn that is not in `keys`: the space has been looked through.

    Raises:
        UsageError: if every design that is drawn breaks a constraint.
    """
    rng = np.random.default_rng([search.protocol.seed, search.salt, len(keys)])
    draw, tell_refused = (_generated if search.kind == "synthesis" else _sampled)(search, trials, rng)
    refused: Counter[str] = Counter()
    found: dict[str, dict[str, Any]] = {}
    judged: dict[tuple[int, ...], tuple[str, ...]] = {}
    known = False
    for _ in range(MOST_DRAWN):
        choices = draw()
        drawn = tuple(choices.values())
        if drawn in judged:  # a small space: this costs nothing again, but it was drawn again
            refused.update(judged[drawn])
            continue
        candidate = search.space.candidate(
            choices, classes=search.protocol.classes, in_channels=search.protocol.channels
        )
        verdict = judge(candidate, search.constraints, search.cores)
        judged[drawn] = tuple(name for name, why in verdict.constraints.items() if why)
        refused.update(judged[drawn])
        if verdict.cost is None or not verdict.holds:
            tell_refused(choices)
            continue
        key = key_of(candidate)
        known = known or key in keys
        if key not in keys and key not in found:
            found[key] = told_trial(candidate, verdict.constraints, verdict.cost, choices=choices)
        if len(found) == search.candidates:
            break
    if not found and not known:
        raise UsageError(
            f"each of {MOST_DRAWN} designs that were drawn breaks a constraint: {_most(refused)}",
            hint="Give a larger --budget, or a space with smaller designs",
        )
    return _first(search, trials, found, refused)


def told_trial(
    candidate: Candidate, constraints: Mapping[str, str], cost: Cost, *, choices: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the fields of a `Trial` that are known before training."""
    facts = {**asdict(cost), "instructions": dict(cost.instructions)}
    return {
        "config": candidate.as_dict(),
        "choices": dict(choices or {}),
        "constraints": dict(constraints),
        **facts,
    }


def key_of(candidate: Candidate) -> str:
    """Return what is equal for designs with the same layers, however their configs say so."""
    layers = layout(candidate.config, candidate.height, candidate.width)
    return hashlib.sha256(repr(layers).encode()).hexdigest()[:32]


def _first(
    search: Search, trials: Sequence[Trial], found: Mapping[str, dict[str, Any]], refused: Mapping[str, int]
) -> Proposal | None:
    """Return the design that the proxy ranks first; the first that was drawn where no proxy is better than chance."""
    if not found:
        return None
    by = best_proxy(trials)
    ranked = list(found) if by is not None else list(found)[:1]
    scores = {k: search.protocol.proxies(candidate_from(found[k]["config"])) for k in ranked}
    key = ranked[0] if by is None else max(ranked, key=lambda k: _rank(scores[k][by]))
    sizes = {name: len(choices) for name, choices in search.space.dimensions.items()}
    return Proposal(key, {**found[key], "proxies": scores[key]}, sizes, refused)


def _rank(score: float) -> float:
    return score if np.isfinite(score) else -np.inf


def _most(refused: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in refused.most_common(3))


def _generated(search: Search, trials: Sequence[Trial], rng: np.random.Generator) -> tuple[Draw, Refuse]:
    """Return what draws from the generator that the inquisitor has changed."""
    seen = learned_from(trials, search.goal)
    generator = uniform(search.space)
    if len(seen) >= _LEARNS_FROM:
        generator = generator_after(search.space, learn(search.space, seen))
    return lambda: generator.draw(rng), lambda choices: None


def learned_from(trials: Sequence[Trial], goal: Goal) -> list[tuple[Mapping[str, int], float]]:
    """Return (choices, U) of all designs that were trained, at the first rung: there all had the same training.

    Were it the last, those that were stopped early would look worse than they are.
    """
    return [
        (t.choices, goal.steering(t.rungs[0]["accuracy"], t))
        for t in trials
        if t.rungs and t.choices and not t.baseline
    ]


def _sampled(search: Search, trials: Sequence[Trial], rng: np.random.Generator) -> tuple[Draw, Refuse]:
    """Return what draws by TPE, which is shown the trials in a study of its own in memory.

    What is refused is shown too, as the worst there is: else TPE would draw what it has never seen again and again.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)), n_startup_trials=_LEARNS_FROM)
    shown = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(tuple(range(len(choices)))) for name, choices in search.space.dimensions.items()
    }
    trained = [t for t in trials if t.rungs and t.choices]
    dearest = max((t.instructions[search.goal.core] for t in trained), default=1.0)

    def show(choices: Mapping[str, int], accuracy: float, instructions: float) -> None:
        values = [accuracy, instructions]
        shown.add_trial(
            create_trial(state=TrialState.COMPLETE, params=dict(choices), distributions=distributions, values=values)
        )

    for trial in trained:
        show(trial.choices, trial.rungs[0]["accuracy"], trial.instructions[search.goal.core])

    drawn = [dict(t.choices) for t in trained]
    evenly = uniform(search.space)

    def draw() -> dict[str, int]:
        asked = shown.ask(distributions)
        shown.tell(asked, state=TrialState.FAIL)  # else the next one would see it as running
        choices = {name: int(index) for name, index in asked.params.items()}
        if choices in drawn:  # in a small space TPE comes back to the best that it knows
            choices = evenly.draw(rng)
        drawn.append(choices)
        return choices

    return draw, lambda choices: show(choices, 0.0, 2 * dearest)
