"""What decides the result of a stage, and the key that it has in the cache."""

from __future__ import annotations

import dataclasses
import os
import sys
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

__all__ = ["recipe_hash", "stage_ingredients", "with_threads"]

_ELSEWHERE = ("checkpoint", "sha256")
"""Of the model: where a file lies does not change what comes out; its hash does, which is in the source's."""


def stage_ingredients(
    entry: StageEntry, recipe: Recipe, source: Source, work: Work, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Return everything that decides the result: config, what comes in, and the versions that matter.

    `recipe` is one `with_threads`; `hashes` are those of `work.files`, by name.
    """
    model = {k: v for k, v in dataclasses.asdict(source.model).items() if k not in _ELSEWHERE}
    reads = {name: _file_hash(getattr(entry.config, name)) for name in STAGES[entry.step].reads}
    return {
        "step": entry.step,
        "config": dataclasses.replace(entry.config, **dict.fromkeys(reads, "")),
        "reads": reads,
        "core": work.core if STAGES[entry.step].reads_core else "",
        "verified": work.verified or not STAGES[entry.step].stamps,
        "source": source.hashes,
        # Names that stand in what is made: of the checkpoint on pictures, of the data in every artefact.
        "names": {"checkpoint": Path(source.model.checkpoint).stem, "data": source.data},
        "model": model,
        "files": dict(hashes),
        "facts": dict(work.facts),
        "seed": recipe.seed,
        "device": recipe.device,
        "threads": recipe.threads,
        "versions": _versions(),
    }


def recipe_hash(data: Mapping[str, Any], *sources: Source) -> str:
    """Return what a run's folder is named by: 8 digits of the recipe and of what goes into it, and its variants."""
    return stage_key({"recipe": dict(data), "hashes": [source.hashes for source in sources]})[:8]


def with_threads(recipe: Recipe) -> Recipe:
    """Return a recipe that says how many threads torch gets, since the order of sums depends on it.

    Without a word in the recipe it is what the process has set, and before torch is imported what we give it then.
    """
    return dataclasses.replace(recipe, threads=recipe.threads or _threads())


def _threads() -> int:
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else len(os.sched_getaffinity(0))


@cache
def _versions() -> dict[str, str]:
    return {**versions(), **versions(("torch-pruning",)), "code": _code_hash()}


def _code_hash() -> str:
    """Return a digest of attendc's own sources: between two releases the version stays, and the code does not."""
    root = Path(__file__).parent.parent
    digest = new_sha256()
    for path in sorted((*root.rglob("*.py"), *(root / "arm").rglob("*.json"))):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _file_hash(path: str) -> str:
    """Return the sha256; of no file an empty text, and of one that is not there a word that no file hashes to."""
    if not path:
        return ""
    return sha256(Path(path)) if Path(path).is_file() else "missing"
