"""A space of designs: dimensions with their choices, read from YAML, and from choices to a candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attendc.errors import InternalError, UsageError
from attendc.explore.budget import parse_budgets
from attendc.explore.candidate import Candidate
from attendc.explore.performance import Weights
from attendc.explore.space_file import DimensionsSection, SpaceFile
from attendc.models.attendnext import AttendNeXtConfig
from attendc.reader.check import check_config
from attendc.reader.faults import Fault, RecipeError, join, show
from attendc.reader.nodes import Node, fault, is_sound, mapping, plain
from attendc.reader.parse import parse
from attendc.reader.sources import Shelf, Source, find_source, read_source

__all__ = ["SPACES", "Choice", "Space", "read_space", "space_from"]

SPACES = Shelf("attendc.explore", "spaces", "space")
"""The shipped spaces."""

Choice = int | bool | str | tuple[int, ...]

_BY_STAGE = {"widths": "width", "depths": "depth"}
"""Lists of the YAML with a list for each stage -> the name of each one's dimension, before the stage's number."""
_STAGES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Space:
    """A space of designs.

    Attributes:
        name: of the shipped space, or of its file.
        dimensions: name -> choices; `width1` to `width4` and `depth1` to `depth4` belong to one stage each.
        weights: of the performance function, unless told otherwise.
        budget: limits, as typed, unless told otherwise.
    """

    name: str
    dimensions: Mapping[str, tuple[Choice, ...]]
    weights: Weights = field(default_factory=Weights)
    budget: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return how many designs it holds, counted by choices: some choices make no difference to others."""
        return math.prod(len(choices) for choices in self.dimensions.values())

    def values(self, choices: Mapping[str, int]) -> dict[str, Choice]:
        """Return dimension -> the choice itself of `choices`, its index."""
        return {name: self.dimensions[name][index] for name, index in choices.items()}

    def candidate(self, choices: Mapping[str, int], *, classes: int, in_channels: int) -> Candidate:
        """Return the design of one choice (its index) for each dimension."""
        values: dict[str, Any] = self.values(choices)
        side = values.pop("resolution")
        height, width = side if isinstance(side, tuple) else (side, side)
        for many, one in _BY_STAGE.items():
            values[many] = tuple(values.pop(f"{one}{stage}") for stage in _STAGES)
        config = AttendNeXtConfig(**values, classes=classes, in_channels=in_channels)
        return Candidate(config, height, width)

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready; `space_from` takes it back."""
        dimensions = {name: [_plain(choice) for choice in choices] for name, choices in self.dimensions.items()}
        weights = asdict(self.weights)
        return {"name": self.name, "dimensions": dimensions, "weights": weights, "budget": list(self.budget)}


def _plain(choice: Choice) -> Any:
    return list(choice) if isinstance(choice, tuple) else choice


def space_from(data: Mapping[str, Any]) -> Space:
    """Return the space that `as_dict` told of."""
    dimensions = {
        name: tuple(tuple(choice) if isinstance(choice, list) else choice for choice in choices)
        for name, choices in data["dimensions"].items()
    }
    return Space(data["name"], dimensions, Weights(**data["weights"]), tuple(data["budget"]))


def read_space(name_or_path: str | Path) -> Space:
    """Return the shipped space of that name, else the one that the file holds.

    Raises:
        RecipeError: with every fault, if there is neither or it is no space.
    """
    source = find_source(SPACES, name_or_path)
    return _space(source, read_source(source))


def _space(source: Source, text: str) -> Space:
    faults: list[Fault] = []
    top = parse(text, source.label, faults, variables=False)
    if top is None and not faults:
        faults.append(Fault(source.label, 0, "", "", "is empty; a space has version and dimensions"))
    made: SpaceFile | None = None
    if top is not None:
        made = check_config(SpaceFile, top, "", faults)
        _check_choices(mapping(top).get("dimensions"), faults)
        _check_budget(mapping(top).get("budget"), faults)
    if faults:
        raise RecipeError(faults)
    if made is None:
        raise InternalError(f"the space {source.label} has neither a value nor a fault")
    return Space(source.stem, _dimensions(made.dimensions), made.performance, made.budget)


def _dimensions(section: DimensionsSection) -> dict[str, tuple[Choice, ...]]:
    """Return name -> choices, a dimension for each stage's width and depth."""
    found: dict[str, tuple[Choice, ...]] = {}
    for name, choices in vars(section).items():
        if name in _BY_STAGE:
            found |= {f"{_BY_STAGE[name]}{stage}": choices[stage - 1] for stage in _STAGES}
        else:
            found[name] = choices
    return found


def _check_choices(node: Node | None, faults: list[Fault]) -> None:
    """Check that each list has choices, and none twice, which would be drawn twice as often."""
    for name, child in mapping(node).items():
        path = f"dimensions.{name}"
        lists = enumerate(child.value) if name in _BY_STAGE and isinstance(child.value, tuple) else ()
        for at, one in [(path, child), *((join(path, stage), inner) for stage, inner in lists)]:
            if not isinstance(one.value, tuple) or not is_sound(one):
                continue
            if not one.value:
                faults.append(fault(one, at, "must hold at least one choice"))
            elif at != path or name not in _BY_STAGE:
                faults += _twice(one.value, at)


def _twice(nodes: tuple[Node, ...], path: str) -> list[Fault]:
    told = [show(plain(node)) for node in nodes]
    repeated = [i for i, text in enumerate(told) if text in told[:i]]
    return [fault(nodes[i], join(path, i), "stands in the list already; write each choice once") for i in repeated]


def _check_budget(node: Node | None, faults: list[Fault]) -> None:
    """Check each limit beside those before it, so that a second one of the same name is told at its place."""
    sound: list[str] = []
    for i, one in enumerate(node.value if node is not None and isinstance(node.value, tuple) else ()):
        if isinstance(one.value, str):
            try:
                parse_budgets((*sound, one.value))
                sound.append(one.value)
            except UsageError as e:
                faults.append(fault(one, join("budget", i), str(e)))
