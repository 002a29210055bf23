"""The four claims of the paper's abstract (arXiv 2208.06980), and what measured numbers say of each.

Only like is compared with like: the same type of numbers, the same resolution, the same core. What int8 or a smaller
input gives against float32 at 224x224 is `unlike`, and never makes a claim met. Nothing is measured here.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "CLAIMS",
    "DTYPES",
    "RUNS",
    "Claim",
    "Part",
    "Row",
    "Unlike",
    "missing_runs",
    "parts_of",
    "short",
    "unlike",
    "verdict",
]

DTYPES = ("float32", "int8")
RUNS = 3
"""Trainings of each network, a seed each; accuracy is compared when all are there."""
Accuracies = Mapping[str, Sequence[float]]
"""Network -> test accuracy (0..1) of each of its runs."""


@dataclass(frozen=True)
class Row:
    """What was measured of one network at one resolution.

    Attributes:
        name: as people say it.
        ours: whether it is a member of the family.
        size: height and width of its image.
        params: of the network as it is deployed.
        macs: of one inference.
        instructions: type of numbers -> core -> instructions of one inference.
        mixed: whether the int8 file keeps operators in float32.
        parts: parts of the int8 file that XNNPACK runs.
    """

    name: str
    ours: bool
    size: int
    params: int
    macs: int
    instructions: Mapping[str, Mapping[str, int]]
    mixed: bool = False
    parts: int | None = None


@dataclass(frozen=True)
class Claim:
    """AttendNeXt against one network, as the abstract has it.

    Attributes:
        peer: the other network.
        says: the abstract in a few words.
        faster: how many times as fast AttendNeXt must be, more than.
        smaller: how many times fewer parameters it must have, more than; None: nothing is said.
        points: how many points of accuracy more it must have, on ImageNet; None: nothing is said.
    """

    peer: str
    says: str
    faster: float
    smaller: float | None = None
    points: float | None = None


CLAIMS = (
    Claim("FBNet-C", "over 10 times as fast on an embedded ARM processor, at higher accuracy", 10, points=0),
    Claim("MobileOne-S1", "over 10 times as fast, at smaller size", 10, smaller=1),
    Claim("MobileNetV3-L", "over 1.37 times smaller, at higher accuracy and speed", 1, smaller=1.37, points=0),
    Claim("MobileViT-XS", "1.1 points more top-1 on ImageNet, at higher speed", 1, points=1.1),
)


@dataclass(frozen=True)
class Part:
    """One thing that a claim says, and how one design fares.

    Attributes:
        name: `size`, `speed in float32`, `speed in int8` or `accuracy`.
        says: what the claim asks for.
        measured: the numbers, in words.
        met: None: it was not measured.
        where: where it is met, if not everywhere.
    """

    name: str
    says: str
    measured: str
    met: bool | None
    where: str = ""


def parts_of(claim: Claim, ours: Row, peer: Row, accuracies: Accuracies) -> list[Part]:
    """Return what each part of a claim comes to for one design.

    Raises:
        ValueError: if the two are not of one resolution.
    """
    if ours.size != peer.size:
        raise ValueError(f"{ours.name} at {ours.size} is compared with {peer.name} at {peer.size}")
    parts = [] if claim.smaller is None else [_size(claim.smaller, ours, peer)]
    parts += [_speed(claim.faster, dtype, ours, peer) for dtype in DTYPES]
    if claim.points is not None:
        parts.append(_accuracy(claim.points, accuracies.get(ours.name, ()), accuracies.get(peer.name, ())))
    return parts


def verdict(parts: Sequence[Part]) -> str:
    """Return what the parts of a claim come to for one design, in plain words."""
    failed = [f"{part.name} only {part.where}" if part.where else part.name for part in parts if part.met is False]
    if failed:
        return f"not met: {'; '.join(failed)}"
    if any(part.met is None for part in parts):
        return "open: accuracy was not measured"
    return "met" if all(part.name != "accuracy" for part in parts) else "met, with accuracy on Fashion-MNIST"


def short(core: str) -> str:
    """Return A72 for cortex-a72."""
    return core.removeprefix("cortex-").upper()


def _size(times: float, ours: Row, peer: Row) -> Part:
    ratio = peer.params / ours.params
    says = "smaller" if times == 1 else f"over {times:g} times smaller"
    return Part("size", says, f"{ratio:.2f} times smaller", ratio > times)


def _speed(times: float, dtype: str, ours: Row, peer: Row) -> Part:
    ratios = {core: n / ours.instructions[dtype][core] for core, n in peer.instructions[dtype].items()}
    met = [core for core, ratio in ratios.items() if ratio > times]
    told = ", ".join(f"{short(core)} {ratio:.2f}" for core, ratio in ratios.items())
    if peer.mixed and dtype == "int8":
        told += ", against a mixed file"
    says = "faster" if times == 1 else f"over {times:g} times as fast"
    where = f"on the {' and '.join(map(short, met))}" if 0 < len(met) < len(ratios) else ""
    return Part(f"speed in {dtype}", says, told, len(met) == len(ratios), where)


def _accuracy(points: float, ours: Sequence[float], theirs: Sequence[float]) -> Part:
    says = f"{points:g} points more accurate" if points else "more accurate"
    if min(len(ours), len(theirs)) < RUNS:
        lacking = "not trained" if not ours else f"{len(ours)} and {len(theirs)} of {RUNS} runs"
        return Part("accuracy", says, lacking, None)
    more = 100 * (statistics.mean(ours) - statistics.mean(theirs))
    if min(ours) > max(theirs):
        told, met = "every run above every run", more >= points
    elif max(ours) < min(theirs):
        told, met = "every run below every run", False
    else:
        told, met = "runs overlap", False
    return Part("accuracy", says, f"{more:+.2f} points, {told}", met)


@dataclass(frozen=True)
class Unlike:
    """One design in int8 against another network in float32 at 224x224: what of it is the design's.

    Attributes:
        core: where.
        whole: instructions of the other in float32 at 224x224 by those of the design in int8.
        alike: the same with both in int8 at the design's resolution; None: not measured there.
    """

    ours: Row
    peer: str
    core: str
    whole: float
    alike: float | None


def unlike(ours: Row, peer: str, rows: Sequence[Row]) -> list[Unlike]:
    """Return a design's int8 file against the other's float32 at 224x224, on each core."""
    by_size = {row.size: row for row in rows if row.name == peer}
    same = by_size.get(ours.size)
    return [
        Unlike(
            ours,
            peer,
            core,
            by_size[224].instructions["float32"][core] / own,
            None if same is None else same.instructions["int8"][core] / own,
        )
        for core, own in ours.instructions["int8"].items()
    ]


def missing_runs(accuracies: Accuracies, names: Sequence[str]) -> dict[str, int]:
    """Return how many runs each network lacks; those that lack none are not named."""
    lacking = {name: RUNS - len(accuracies.get(name, ())) for name in names}
    return {name: count for name, count in lacking.items() if count > 0}
