"""From what was typed to the parts of a recipe, which every job builds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from attendc.context import Context
from attendc.opening import CheckpointRequest
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, is_preset_file

__all__ = ["assembled", "folder_name", "model_section", "named", "recipe_of"]


def recipe_of(name: str, checkpoint: CheckpointRequest, stages: dict[str, Any], context: Context) -> Recipe:
    """Return the recipe of a command that takes a checkpoint: `stages` are configs by the name of their step."""
    return assembled(name, model_section(checkpoint), checkpoint.data, stages, context)


def assembled(name: str, model: ModelSection, data: str, stages: dict[str, Any], context: Context) -> Recipe:
    """Return the recipe of these parts; a stage without a config is left out."""
    return Recipe(
        name=folder_name(name),
        stages=tuple(StageEntry(step, config) for step, config in stages.items() if config is not None),
        model=model,
        data=DataSection(data),
        seed=context.seed,
        device=context.device,  # type: ignore[arg-type]
        threads=context.threads,
    )


def model_section(request: CheckpointRequest) -> ModelSection:
    """Return a checkpoint, and what was said about it, as a recipe says it."""
    return replace(
        named(request.model),
        checkpoint="" if request.path is None else str(request.path),
        args=dict(request.model_args),
        weights_key=request.weights_key,
        trust=request.trust,
        input_shape=request.input_shape,
        mean=tuple(request.mean),
        std=tuple(request.std),
        fit=request.fit,
        classes=request.classes,
    )


def named(model: str) -> ModelSection:
    """Return what `--model` means in a recipe: a preset's name or file, or the factory of the user's code."""
    is_factory = ":" in model and not is_preset_file(model)
    return ModelSection(factory=model) if is_factory else ModelSection(name=model)


def folder_name(text: str) -> str:
    """Return a name that a recipe may have: other characters become `_`."""
    return re.sub(r"[^\w.+ -]", "_", text)[:100].strip(" .-") or "run"
