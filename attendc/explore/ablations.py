"""A plan of ablations: each part of a design taken back alone, with what that costs and which constraints it breaks.

A part that the family has a plain choice for goes back to it: stem `conv`, gate `softmax`, activation `silu`, expansion
2, 4 columns, strides 1 2 2 2. The family's practices are given up one by one: downsampling that skips pixels, no
attention, columns mixed in every block. Widths, depths and resolution go back to the next smaller choice of the space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attendc.explore.candidate import Candidate
from attendc.explore.constraints import Constraint, judge
from attendc.explore.cost import Cost
from attendc.explore.space import Choice, Space
from attendc.models.attendnext import AttendNeXtConfig
from attendc.models.layout import layout

__all__ = ["Ablation", "plan"]

_PLAIN: Mapping[str, Choice] = {
    **{
        name: getattr(AttendNeXtConfig(), name)
        for name in ("stem", "gate", "activation", "expansion", "columns", "stage_strides")
    },
    "downsample": "strided",
    "attention": "none",
    "mix": "block",
}
"""Field of the config -> what it is taken back to."""


@dataclass(frozen=True)
class Ablation:
    """A design that differs from another one in one part.

    Attributes:
        part: which, by the name of its dimension.
        before: the choice of the design.
        after: what it is taken back to.
        candidate: the design without the part.
        cost: what that costs.
        breaks: names of the constraints that it breaks.
    """

    part: str
    before: Choice
    after: Choice
    candidate: Candidate
    cost: Cost
    breaks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready; `accuracy` is None until somebody trains it."""
        cost = dataclasses.asdict(replace(self.cost, instructions=dict(self.cost.instructions)))
        told = {"part": self.part, "from": _plain(self.before), "to": _plain(self.after)}
        return {**told, "config": self.candidate.as_dict(), **cost, "breaks": list(self.breaks), "accuracy": None}


def plan(
    candidate: Candidate, space: Space, constraints: Sequence[Constraint], cores: Sequence[str]
) -> tuple[Ablation, ...]:
    """Return an ablation for each part that is not plain already.

    A part that makes no difference to the layers is left out, such as the gate of a design without attention; so is
    one without which the design cannot be built, such as columns where 4 do not divide a width.

    Args:
        candidate: the design, usually the winner.
        space: where widths, depths and resolution have their next smaller choice.
        constraints: which of them the design without the part breaks is told.
        cores: whose instructions are counted.
    """
    layers = layout(candidate.config, candidate.height, candidate.width)
    found = []
    for part, before, after, other in (*_to_plain(candidate), *_to_smaller(candidate, space)):
        verdict = judge(other, constraints, cores)
        if verdict.cost is not None and layout(other.config, other.height, other.width) != layers:
            breaks = tuple(name for name, why in verdict.constraints.items() if why)
            found.append(Ablation(part, before, after, other, verdict.cost, breaks))
    return tuple(found)


Change = tuple[str, Choice, Choice, Candidate]


def _to_plain(candidate: Candidate) -> Iterator[Change]:
    config = candidate.config
    for part, after in _PLAIN.items():
        before: Choice = getattr(config, part)
        if before == after:
            continue
        fields: dict[str, Any] = {part: after}
        if part == "stem":
            fields |= _conv_stem(config.stem_stride)
        yield part, before, after, replace(candidate, config=replace(config, **fields))


def _conv_stem(stride: int) -> dict[str, Any]:
    """Return how the stem `conv` condenses as much as a patch of `stride`: by its pool too, where it is 4 or more."""
    pooled = stride >= 4 and stride % 2 == 0
    return {"stem_stride": stride // 2 if pooled else stride, "stem_pool": pooled}


def _to_smaller(candidate: Candidate, space: Space) -> Iterator[Change]:
    config = candidate.config
    for part, choices in space.dimensions.items():
        if part == "resolution":
            size = (candidate.height, candidate.width)
            for after in _next_smaller(choices, size, _area):
                height, width = _sides(after)
                yield part, size, (height, width), replace(candidate, height=height, width=width)
        elif part == "stem_width":
            for after in _next_smaller(choices, config.stem_width, int):
                yield part, config.stem_width, after, replace(candidate, config=replace(config, stem_width=after))
        elif part[:-1] in ("width", "depth"):
            field, stage = f"{part[:-1]}s", int(part[-1]) - 1
            values: tuple[int, ...] = getattr(config, field)
            for after in _next_smaller(choices, values[stage], int):
                taken: dict[str, Any] = {field: (*values[:stage], after, *values[stage + 1 :])}
                yield part, values[stage], after, replace(candidate, config=replace(config, **taken))


def _next_smaller(choices: Sequence[Any], value: Any, size: Callable[[Any], int]) -> list[Any]:
    """Return the largest choice below the value, an empty list where there is none."""
    below = [choice for choice in choices if size(choice) < size(value)]
    return [max(below, key=size)] if below else []


def _sides(resolution: Any) -> tuple[int, int]:
    """Return height and width; one number is both."""
    return resolution if isinstance(resolution, tuple) else (resolution, resolution)


def _area(resolution: Any) -> int:
    height, width = _sides(resolution)
    return height * width


def _plain(choice: Choice) -> Any:
    return list(choice) if isinstance(choice, tuple) else choice
