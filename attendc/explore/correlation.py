"""How well a proxy ranks: its rank correlation with the accuracy that trained candidates reached."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.explore.proxies import PROXIES
from attendc.explore.trial import Trial

__all__ = ["best_proxy", "measured_proxies", "rank_correlation"]

_FIRST = "naswot"
"""What ranks while too little is measured: it looks at the data, and needs neither gradient nor label."""


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's correlation of two lists of the same length: -1..1, 1 where they rank alike.

    Equal numbers share the mean of their ranks. None where nothing can be said: fewer than two pairs, or a list whose
    numbers are all equal. Written out, since scipy.stats takes a second to import for these few lines.
    """
    ranks = np.stack([_ranks(a), _ranks(b)])
    centred = ranks - ranks.mean(axis=1, keepdims=True) if ranks.size else ranks
    spread = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return float((centred[0] * centred[1]).sum()) / spread if spread else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the rank of each, from 1; equal ones have the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    mean_rank: NDArray[np.float64] = counts.cumsum() - (counts - 1) / 2
    return mean_rank[place]


def measured_proxies(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return `name`, `source`, `rank_correlation` (None: not known) and `trials` (how many) of each proxy.

    The accuracy is that of one rung, the same for all: the first that most trials have reached. So those count too
    that were pruned later, without which only the good ones would be compared. One that failed does not: it is trained
    again as another trial.
    """
    reached = _common_rung(trials)
    found = []
    for name, proxy in PROXIES.items():
        pairs = [(t.proxies[name], a) for t, a in reached if math.isfinite(t.proxies.get(name, math.nan))]
        correlation = rank_correlation([score for score, _ in pairs], [accuracy for _, accuracy in pairs])
        entry = {"name": name, "source": proxy.source, "rank_correlation": correlation, "trials": len(pairs)}
        found.append(entry)
    return found


def _common_rung(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Return (trial, accuracy) after the number of epochs that most have reached, the fewest where several are."""
    rungs = [(trial, rung) for trial in trials if trial.state != "failed" for rung in trial.rungs]
    reached = Counter(rung["epochs"] for _, rung in rungs)
    common = min(reached, key=lambda epochs: (-reached[epochs], epochs), default=None)
    return [(trial, rung["accuracy"]) for trial, rung in rungs if rung["epochs"] == common]


def best_proxy(trials: Sequence[Trial], *, at_least: int = 8) -> str | None:
    """Return the name of the proxy that ranked these trials best, `naswot` while fewer than `at_least` are measured.

    None if no proxy ranked them better than chance does: then candidates are best taken as they are drawn. Chance is
    the standard deviation of Spearman's correlation of n unrelated pairs, 1 / sqrt(n - 1).
    """
    measured = [one for one in measured_proxies(trials) if one["trials"] >= at_least]
    if not measured:
        return _FIRST
    found = {one["name"]: one["rank_correlation"] or 0.0 for one in measured}
    best = max(found, key=found.__getitem__)
    trained = next(one["trials"] for one in measured if one["name"] == best)
    return best if found[best] > 1 / math.sqrt(max(1, trained - 1)) else None
