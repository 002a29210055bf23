"""From what was typed to the parts of a recipe, which every job builds."""

from __future__ import annotations

import re
from typing import Any

from attendc.context import Context
from attendc.opening import CheckpointRequest
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry

__all__ = ["folder_name", "model_section", "recipe_of"]


def recipe_of(name: str, checkpoint: CheckpointRequest, stages: dict[str, Any], context: Context) -> Recipe:
    """Return the recipe of one command: `stages` are configs by the name of their step, in order."""
    return Recipe(
        name=folder_name(name),
        stages=tuple(StageEntry(step, config) for step, config in stages.items() if config is not None),
        model=model_section(checkpoint),
        data=DataSection(checkpoint.data),
        seed=context.seed,
        device=context.device,  # type: ignore[arg-type]
        threads=context.threads,
    )


def model_section(request: CheckpointRequest) -> ModelSection:
    """Return a checkpoint, and what was said about it, as a recipe says it."""
    foreign = ":" in request.model
    return ModelSection(
        checkpoint=str(request.path),
        name="" if foreign else request.model,
        factory=request.model if foreign else "",
        args=dict(request.model_args),
        weights_key=request.weights_key,
        trust=request.trust,
        input_shape=request.input_shape,
        mean=tuple(request.mean),
        std=tuple(request.std),
        fit=request.fit,
    )


def folder_name(text: str) -> str:
    """Return a name that a recipe may have: other characters become `_`."""
    return re.sub(r"[^\w.+ -]", "_", text)[:100].strip(" .-") or "run"
