"""A registry of two small stages with every kind of field, and how tests of the reader read with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from attendc.errors import UsageError
from attendc.reader.faults import Fault, RecipeError
from attendc.reader.load import read_recipe, text_source
from attendc.reader.merge import read_document
from attendc.reader.sources import find_recipe
from attendc.recipe import CHECKED, Recipe

__all__ = ["STAGES", "Cut", "Grow", "Inner", "faults_of", "read", "read_file"]


@dataclass(frozen=True)
class Inner:
    """A config inside a config."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    width: int = 3
    """Of the inside."""


@dataclass(frozen=True)
class Grow:
    """Grow."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    mode: Literal["slow", "fast"] = "slow"
    """How."""
    bits: Literal[8] = 8
    """Bits of it."""
    epochs: Annotated[int, Ge(1)] = 2
    """Passes."""
    lr: Annotated[float, Gt(0), Lt(1)] = 1e-3
    """Rate."""
    calib: Annotated[int, Ge(1)] | Literal["random"] = 256
    """Images, or random."""
    budget: str | float | int | None = None
    """A part or an amount."""
    sizes: tuple[Annotated[int, Ge(1)], ...] = (1, 2)
    """Each size."""
    shape: tuple[int, int] | None = None
    """[height, width]."""
    keep: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict)
    """Layer -> part."""
    inner: Inner = field(default_factory=Inner)
    """More."""
    gate: bool = True
    """Stop at a fault."""


@dataclass(frozen=True)
class Cut:
    """Cut, by a ratio that has no default."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    by: float
    """Ratio."""
    of: str = "all"
    """Of what."""

    def __post_init__(self) -> None:
        """Check both together."""
        if self.of == "nothing" and self.by > 0:
            raise ValueError("there is nothing to cut from nothing")


@dataclass(frozen=True)
class Twice:
    """A config that raises an error of ours."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    count: int = 1
    """How often."""

    def __post_init__(self) -> None:
        """Check it."""
        if self.count % 2:
            raise UsageError("count must be even", hint="Take 2")


STAGES: dict[str, type] = {"grow": Grow, "cut": Cut, "twice": Twice}


def read(text: str, *sets: str, file: str = "r.yaml", environment: Mapping[str, str] | None = None) -> Recipe:
    return read_recipe(read_document(text_source(file), text), sets, STAGES, environment or {})


def read_file(source: str | Path, *sets: str) -> Recipe:
    return read_recipe(read_document(find_recipe(source)), sets, STAGES, {})


def faults_of(text: str, *sets: str, environment: Mapping[str, str] | None = None) -> tuple[Fault, ...]:
    with pytest.raises(RecipeError) as caught:
        read(text, *sets, environment=environment)
    return caught.value.faults
