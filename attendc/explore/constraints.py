"""The indicator 1_r: constraints on a design, each a named predicate with its source, looked at before it is built.

Source: generative synthesis, arXiv 1809.05989 (the indicator), and the best practices that arXiv 2208.06980 searches
under. A practice looks at the layers of a design, not at the switches of its config: a layout that breaks it is refused
wherever it comes from.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from attendc.arm.cores import CORES
from attendc.explore.budget import Budget, cost_in
from attendc.explore.candidate import Candidate
from attendc.explore.cost import Cost, cost_of
from attendc.models.layout import Layer, layout

__all__ = ["BUILDABLE", "PRACTICES", "Constraint", "Verdict", "judge", "limits"]

Broken = Callable[[Candidate, tuple[Layer, ...], Cost], str]

_FAMILY = "arXiv 2208.06980"
_STAGE = re.compile(r"stage(\d+)\.(\d+)")
_EARLY = (1, 2)
"""Stages whose blocks have no 1x1 convolutions, so that nothing inside them joins the columns (2311.11656)."""
_MULTIPLE, _TILE = 4, 16

BUILDABLE = "can be built"
"""Name of what is asked first: without layers, nothing else can be."""


@dataclass(frozen=True)
class Constraint:
    """One thing that must hold.

    Attributes:
        name: that refusals are counted by.
        source: paper or document that it comes from.
        broken: what says why it does not hold, with values; empty where it does.
    """

    name: str
    source: str
    broken: Broken


@dataclass(frozen=True)
class Verdict:
    """What was found of a design.

    Attributes:
        constraints: name -> empty where it holds, else why not.
        cost: None if it cannot be built.
    """

    constraints: Mapping[str, str]
    cost: Cost | None

    @property
    def holds(self) -> bool:
        """Return whether every constraint does: the indicator is 1."""
        return not any(self.constraints.values())


def judge(candidate: Candidate, constraints: Sequence[Constraint], cores: Sequence[str]) -> Verdict:
    """Return what holds of a design, by arithmetic: no network is built.

    Args:
        candidate: the design.
        constraints: what must hold.
        cores: whose instructions are counted.
    """
    try:
        layers = layout(candidate.config, candidate.height, candidate.width)
    except ValueError as e:
        return Verdict({BUILDABLE: str(e)}, None)
    cost = cost_of(candidate, cores)
    return Verdict({BUILDABLE: "", **{c.name: c.broken(candidate, layers, cost) for c in constraints}}, cost)


def limits(budget: Budget) -> tuple[Constraint, ...]:
    """Return a constraint for each limit of what a design costs; `budget.against(...)` must have made them numbers."""
    return tuple(
        Constraint(
            f"instructions on {name}" if name in CORES else name,
            f"budget {name}:{limit.value:,.0f}",
            partial(_over, name, limit.value),
        )
        for name, limit in budget.limits.items()
    )


def _over(name: str, limit: float, _candidate: Candidate, _layers: tuple[Layer, ...], cost: Cost) -> str:
    value = cost_in(cost, name)
    return "" if value <= limit else f"{value:,.0f}, {limit:,.0f} allowed"


def _strided_pointwise(_candidate: Candidate, layers: tuple[Layer, ...], _cost: Cost) -> str:
    wrong = (one for one in layers if one.kind == "conv" and one.kernel == (1, 1) and one.stride != (1, 1))
    return _told(wrong, "skips pixels")


def _aliased(_candidate: Candidate, layers: tuple[Layer, ...], _cost: Cost) -> str:
    """After the stem nothing but an average pool that sees every pixel lowers the resolution."""
    inside = (one for one in layers if _STAGE.match(one.part) and one.stride != (1, 1))
    wrong = (
        one
        for one in inside
        if one.kind != "avg_pool" or any(k < s for k, s in zip(one.kernel, one.stride, strict=True))
    )
    return _told(wrong, "where an average pool belongs")


def _attention(_candidate: Candidate, layers: tuple[Layer, ...], _cost: Cost) -> str:
    """Each stage opens with a gate, and no other block has one."""
    gated = {_block(one) for one in layers if one.kind == "gate"}
    inside = sorted(block for block in gated if block[1] > 0)
    missing = sorted({(stage, 0) for stage, _ in _blocks(layers)} - gated)
    told = [f"stage{stage}.{block} has attention" for stage, block in inside]
    told += [f"stage{stage}.0 has none" for stage, _ in missing]
    return "; ".join(told)


def _mixed(_candidate: Candidate, layers: tuple[Layer, ...], _cost: Cost) -> str:
    """Inside an early stage every convolution keeps to the columns; the 1x1 of V, at the border, joins them."""
    convs = [one for one in layers if one.kind == "conv" and _block(one)[0] in _EARLY]
    inside = [one for one in convs if not (_block(one)[1] == 0 and one.part.endswith(".features"))]
    columns: dict[int, int] = defaultdict(lambda: 2)  # one column alone would be no columns
    for one in inside:
        columns[_block(one)[0]] = max(columns[_block(one)[0]], one.groups)
    return _told((one for one in inside if one.groups < columns[_block(one)[0]]), "mixes columns")


def _odd(multiple: int, what: str, _candidate: Candidate, layers: tuple[Layer, ...], _cost: Cost) -> str:
    """Every convolution puts out a multiple of so many channels: in all, or with a `what` in each column."""
    convs = [one for one in layers if one.kind == "conv"]
    channels = {(one.part, one.outputs // one.groups if what else one.outputs): None for one in convs}
    odd = [f"{part} has {' '.join([str(count), what]).strip()}" for part, count in channels if count % multiple]
    return _more(odd)


def _told(wrong: Iterator[Layer], why: str) -> str:
    """Return the first layer that is wrong, and how many more are."""
    return _more([f"{_layer(one)}, {why}" for one in wrong])


def _more(told: Sequence[str]) -> str:
    """Return the first, and how many more there are."""
    return f"{told[0]}, and {len(told) - 1} more" if len(told) > 1 else "".join(told)


def _layer(one: Layer) -> str:
    kind = "convolution" if one.kind == "conv" else one.kind.replace("_", " ")
    shape = f"{one.inputs}->{one.outputs}, stride {one.stride[0]}, groups {one.groups}"
    return f"{one.part}: {'x'.join(map(str, one.kernel))} {kind} {shape}"


def _block(layer: Layer) -> tuple[int, int]:
    """Return stage and block, both 0 outside the stages."""
    found = _STAGE.match(layer.part)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _blocks(layers: Sequence[Layer]) -> set[tuple[int, int]]:
    return {_block(one) for one in layers} - {(0, 0)}


PRACTICES = (
    Constraint("no strided pointwise convolution", _FAMILY, _strided_pointwise),
    Constraint("anti-aliased downsampling", f"{_FAMILY}; arXiv 1904.11486", _aliased),
    Constraint("attention at stage entry only", _FAMILY, _attention),
    Constraint("columns mix only at stage borders", f"{_FAMILY}; arXiv 2311.11656", _mixed),
    Constraint("channels a multiple of 4", _FAMILY, partial(_odd, _MULTIPLE, "")),
    Constraint("16 channels per column", "docs/arm.md", partial(_odd, _TILE, "a column")),
)
"""The best practices of the family (2208.06980), and the tile of the int8 kernels on ARM."""
