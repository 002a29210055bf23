"""Which emulated cores a recipe needs, asked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from attendc.arm.cores import core_of
from attendc.arm.machine.ready import check_ready
from attendc.recipe import Recipe, StageEntry
from attendc.stages.bench_config import BenchConfig
from attendc.stages.verify_config import VerifyConfig

__all__ = ["check_cores"]


def check_cores(recipe: Recipe, entries: Sequence[StageEntry]) -> None:
    """Check that every core on which these stages of a recipe run something is ready.

    Raises:
        UsageError: naming what is missing, with what to type.
    """
    told = [name for entry in entries for name in _cores(recipe, entry)]
    for name in dict.fromkeys(told):
        check_ready(core_of(name))


def _cores(recipe: Recipe, entry: StageEntry) -> tuple[str, ...]:
    if isinstance(entry.config, BenchConfig):
        return entry.config.cores(recipe.target.core or "")
    return entry.config.on if isinstance(entry.config, VerifyConfig) else ()
