"""What decides the result of a stage, and the key that it has in the cache."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any

from attendc.files import sha256
from attendc.manifest import versions
from attendc.recipe import Recipe, StageEntry
from attendc.runner.cache_key import stage_key
from attendc.runner.source import Source
from attendc.stages.registry import STAGES
from attendc.stages.work import Work

__all__ = ["recipe_hash", "stage_ingredients"]

_PATHS_OF_RUN = ("checkpoint",)
"""Where a file lies does not change what comes out; its hash does."""


def stage_ingredients(
    entry: StageEntry, recipe: Recipe, source: Source, work: Work, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Return everything that decides the result: config, what comes in, and the versions that matter.

    `hashes` are those of `work.files`, by name.
    """
    model = {k: v for k, v in dataclasses.asdict(source.model).items() if k not in ("checkpoint", "sha256")}
    return {
        "step": entry.step,
        "config": entry.config,
        "reads": {name: _file_hash(getattr(entry.config, name)) for name in STAGES[entry.step].reads},
        "source": {"name": Path(source.model.checkpoint).stem, "data": source.data, **source.hashes},
        "model": model,
        "files": dict(hashes),
        "facts": dict(work.facts),
        "seed": recipe.seed,
        "device": recipe.device,
        "threads": recipe.threads or _threads(),
        "versions": _versions(),
    }


def recipe_hash(data: Mapping[str, Any], source: Source) -> str:
    """Return what a run's folder is named by: 8 digits of the recipe and of what goes into it."""
    return stage_key({"recipe": dict(data), "hashes": source.hashes})[:8]


def _threads() -> int:
    """Return how many threads torch takes when it is not told; the order of sums depends on it."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() else len(os.sched_getaffinity(0))


@cache
def _versions() -> dict[str, str]:
    return {**versions(), **versions(("torch-pruning",)), "code": _code_hash()}


def _code_hash() -> str:
    """Return a digest of attendc's own sources: between two releases the version stays, and the code does not."""
    root = Path(__file__).parent.parent
    digest = new_sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _file_hash(path: str) -> str:
    return sha256(Path(path)) if path and Path(path).is_file() else ""
