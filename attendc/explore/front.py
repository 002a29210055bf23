"""The Pareto front of a study: the designs that no other one beats in accuracy and in cost at once."""

from __future__ import annotations

from collections.abc import Sequence

from attendc.explore.trial import Trial

__all__ = ["dominates", "front"]


def front(trials: Sequence[Trial], core: str) -> tuple[int, ...]:
    """Return the numbers of the trials on the front, the cheapest first: accuracy up, instructions on `core` down.

    Only trials that were trained to the end and break no constraint are compared, since accuracies after fewer epochs
    say nothing about theirs. Of equal ones the first stays.
    """
    trained = [t for t in trials if t.state == "complete" and t.feasible and t.accuracy is not None]
    points = {t.number: (t.accuracy or 0.0, t.instructions[core]) for t in trained}
    numbers = [
        n
        for n, point in points.items()
        if not any(dominates(other, point) or (other == point and m < n) for m, other in points.items())
    ]
    return tuple(sorted(numbers, key=lambda n: points[n][1]))


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Return whether (accuracy, cost) `a` is no worse than `b` in either and better in one."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b
