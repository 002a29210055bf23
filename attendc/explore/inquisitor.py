"""The inquisitor: which parts of the designs that were trained earn their cost, and what the generator makes of it.

Generative synthesis (arXiv 1809.05989, section 2) has an inquisitor I that probes generated networks with stimuli,
watches how their parts respond, and updates the generator G by what it saw, so that U rises. Here the inquisitor sees
each finished trial as a whole, its choices and its U, and finds the share of each part by a regression. What is the
same: parts are judged by what they do for U, and G is updated by nothing else. What is not: nothing inside a network
is probed, and there is no second neural network.

The model is U = mean + sum over dimensions of the effect of the choice. That suits this U: it is a logarithm, so that
factors of cost and accuracy add up; parts that help only together are seen as each one's average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from attendc.explore.generator import Generator

if TYPE_CHECKING:
    from attendc.explore.space import Choice, Space

__all__ = ["FLOOR", "Part", "generator_after", "learn"]

Array = npt.NDArray[np.float64]

FLOOR = 0.1
"""Of the probability of each dimension, what is spread evenly: nothing is ever given up for good."""

_EXPLAINED = 0.9
"""Part of the variance of U that choices are taken to explain before anything is known; it decides how much few trials
are believed. The cost inside U follows from the choices, and a point of accuracy, more than chance makes in a training,
is 0.2 dB of some 5 between designs. Not estimated: with fewer trials than choices an estimate is mostly 0 or 1."""
_DIGITS = 6
_RARE = 0.25
"""How often a choice that is not refused outright may be accepted, against the others of its dimension: many columns go
with few widths."""
_LEAST_SPREAD = 1.0
"""Variance of U, in dB squared, that designs are taken to have where those seen differ less, or hardly any is seen."""

_OUTLYING = 3.0
"""Standard deviations from the median at which U is cut off."""
_MAD = 1.4826
"""Standard deviation of a normal distribution in medians of the absolute deviation (Rousseeuw and Croux 1993)."""


@dataclass(frozen=True)
class Part:
    """What was learned of one choice.

    Attributes:
        dimension: that it belongs to.
        choice: itself.
        effect: on U, against the mean of the dimension's choices.
        error: standard deviation of what `effect` may be.
        tried: finished trials that have it.
    """

    dimension: str
    choice: Choice
    effect: float
    error: float
    tried: int


def learn(space: Space, trials: Sequence[tuple[Mapping[str, int], float]]) -> tuple[Part, ...]:
    """Return what finished trials, each its choices and its U, tell of every choice of each dimension that has several.

    A ridge regression of U on the choices, read as Bayes does (Hoerl and Kennard 1970; Bishop 2006, section 3.3):
    before the first trial each effect is 0 with the variance of U shared out among the dimensions. So a choice that few
    trials have moves little from 0 and keeps a large error, and one that no trial has stays where nothing is known.
    Without trials every effect is 0. A training that failed to learn would outweigh all others by its U, and is cut off
    where U would still be rare by chance.
    """
    u = _cut_off(np.array([value for _, value in trials], dtype=np.float64))
    design = np.array([_row(space, choices) for choices, _ in trials], dtype=np.float64)
    design = design.reshape(len(u), sum(map(len, space.dimensions.values())))
    tried = design.sum(axis=0).astype(int)
    mean, covariance = _posterior(space, design, u)
    parts: list[Part] = []
    for name, choices in space.dimensions.items():
        here = slice(len(parts), len(parts) + len(choices))
        against = np.eye(len(choices)) - 1 / len(choices)
        effects = (against @ mean[here]).round(_DIGITS) + 0.0  # + 0.0: no -0.0
        errors = np.sqrt(np.clip(np.diag(against @ covariance[here, here] @ against.T), 0, None)).round(_DIGITS)
        columns = (choices, effects.tolist(), errors.tolist(), tried[here].tolist())
        parts += [Part(name, *told) for told in zip(*columns, strict=True)]
    return tuple(part for part in parts if len(space.dimensions[part.dimension]) > 1)


def _row(space: Space, choices: Mapping[str, int]) -> list[float]:
    """Return 1 for each choice taken and 0 for each other, dimension by dimension."""
    return [float(choices[name] == i) for name, held in space.dimensions.items() for i in range(len(held))]


def _cut_off(u: Array) -> Array:
    """Return U with what lies far out moved in (winsorised)."""
    if not len(u):
        return u
    middle = np.median(u)
    deviation = _MAD * np.median(np.abs(u - middle))
    far = _OUTLYING * deviation if deviation > 0 else np.inf
    return np.clip(u, middle - far, middle + far)


def _posterior(space: Space, design: Array, u: Array) -> tuple[Array, Array]:
    """Return mean and covariance of the effect of every choice."""
    spread = max(_LEAST_SPREAD, float(u.var()) if len(u) else 0.0)
    open_dimensions = sum(len(choices) > 1 for choices in space.dimensions.values())
    prior, noise = _EXPLAINED * spread / max(1, open_dimensions), (1 - _EXPLAINED) * spread
    centred = design - design.mean(axis=0, keepdims=True) if len(u) else design
    covariance = np.linalg.inv(centred.T @ centred / noise + np.eye(design.shape[1]) / prior)
    return covariance @ centred.T @ (u - u.sum() / max(1, len(u))) / noise, covariance


def generator_after(space: Space, parts: Sequence[Part], *, temperature: float = 0.25) -> Generator:
    """Return the generator that draws parts the more often the more they earn.

    The weight of a choice is exp(effect / (temperature + error)): where little is known all are drawn alike, and with
    every trial the best are drawn more. A choice that no finished trial has was refused each time by a constraint, or
    not drawn: its weight falls by the probability that chance alone left it out, were it accepted a quarter as often as
    others.

    Args:
        space: that `parts` are of.
        parts: what `learn` returned.
        temperature: effect in U, beside the error, that makes a choice e times as probable.
    """
    of = {name: [part for part in parts if part.dimension == name] for name in space.dimensions}
    return Generator({name: _probabilities(of[name], temperature) if of[name] else (1.0,) for name in of})


def _probabilities(parts: Sequence[Part], temperature: float) -> tuple[float, ...]:
    """Return the probability of each choice of one dimension."""
    count, trials = len(parts), sum(part.tried for part in parts)
    missed = (1 - _RARE / count) ** trials
    exponents = [part.effect / (temperature + part.error) for part in parts]
    highest = max(exponents)
    weights = [
        math.exp(exponent - highest) * (1.0 if part.tried else missed)
        for exponent, part in zip(exponents, parts, strict=True)
    ]
    total = sum(weights)
    return tuple(FLOOR / count + (1 - FLOOR) * weight / total for weight in weights)
