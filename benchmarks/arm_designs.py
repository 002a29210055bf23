r"""Finds the presets `attendnext_arm_m` and `attendnext_arm_xs` again: what costs least on a Cortex-A76, by arithmetic.

    OMP_NUM_THREADS=1 python benchmarks/arm_designs.py

takes two minutes. For 1000 classes at 224x224 it looks for the fewest int8 instructions on a Cortex-A76 with at most
3.94 M parameters, which is 1.37 times smaller than MobileNetV3-L (2208.06980), and at least

- 350 M multiply-accumulates and 3.5 M parameters: `attendnext_arm_m`;
- 150 M multiply-accumulates and 2.5 M parameters: `attendnext_arm_xs`.

Instructions are those of `attendc.explore.cost`, so of the table. Every design keeps the practices of the family, and
has at least as many blocks a stage as its published member (2, 2, 3, 1) and no stage narrower than the one before.
The search goes downhill from drawn designs, one or two choices at a time. Nothing is trained: cost alone is looked at,
and nothing is said about accuracy.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from attendc.explore.candidate import Candidate
from attendc.explore.constraints import PRACTICES, judge
from attendc.explore.cost import Cost, cost_of
from attendc.models.attendnext import PRESETS, AttendNeXtConfig

CORE = "cortex-a76"
SIDE = 224
M = 1e6
MOST_PARAMS = 3.94 * M
Choices = tuple[int, ...]
"""An index for each dimension."""
DIMENSIONS: dict[str, tuple[object, ...]] = {
    "columns": (2, 4),
    "width1": (2, 3, 4, 6, 8),
    "width2": (2, 4, 5, 6, 7, 8, 10, 12, 14, 16),
    "width3": (4, 6, 8, 10, 12, 14, 16, 20, 24),
    "width4": (4, 6, 8, 10, 12, 14, 16, 20, 24),
    "depth1": (2, 3),
    "depth2": (2, 3, 4),
    "depth3": (3, 4, 5, 6, 8),
    "depth4": (1, 2, 3),
    "stem_width": (32, 48, 64),
    "stage_strides": ((1, 2, 2, 2), (2, 2, 1, 2), (2, 1, 2, 2), (2, 2, 2, 1)),
    "expansion": (1, 2),
}
"""What is chosen from; widths in tiles of 16 channels."""


@dataclass(frozen=True)
class Goal:
    """What a preset is for."""

    preset: str
    macs: float
    params: float


HEAD = (
    "| widths | depths | strides | columns | stem | expansion | M A76 | M MACs | M params |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|",
)
GOALS = (Goal("attendnext_arm_m", 350 * M, 3.5 * M), Goal("attendnext_arm_xs", 150 * M, 2.5 * M))


def design(choices: Choices) -> Candidate | None:
    """Return what is chosen; None where columns are no whole tiles, or a stage is narrower than the one before."""
    told: dict[str, object] = {
        name: values[index] for (name, values), index in zip(DIMENSIONS.items(), choices, strict=True)
    }
    widths = tuple(16 * int(str(told.pop(f"width{stage}"))) for stage in (1, 2, 3, 4))
    depths = tuple(told.pop(f"depth{stage}") for stage in (1, 2, 3, 4))
    if any(width % (16 * int(str(told["columns"]))) for width in widths) or list(widths) != sorted(widths):
        return None
    config = AttendNeXtConfig(widths, depths, stem="patch", stem_stride=4, gate="sigmoid", **told)  # type: ignore[arg-type]
    return Candidate(config, SIDE, SIDE)


@functools.cache
def cost(choices: Choices) -> Cost | None:
    """Return what a choice costs; None of no design."""
    found = design(choices)
    return None if found is None else cost_of(found, [CORE])


def misses(goal: Goal, choices: Choices) -> tuple[float, float]:
    """Return by what part a choice misses its goal, and its instructions; the smaller is the better one."""
    found = cost(choices)
    if found is None:
        return float("inf"), 0.0
    parts = (1 - found.macs / goal.macs, 1 - found.params / goal.params, found.params / MOST_PARAMS - 1)
    return sum(max(0.0, part) for part in parts), found.instructions[CORE]


def near(choices: Choices) -> Iterator[Choices]:
    """Yield all that differ in one dimension, and those that differ in two by a step each."""
    sizes = [len(values) for values in DIMENSIONS.values()]
    for place, size in enumerate(sizes):
        for index in range(size):
            yield (*choices[:place], index, *choices[place + 1 :])
    for one, other in itertools.combinations(range(len(sizes)), 2):
        for a, b in itertools.product((-1, 1), repeat=2):
            step = list(choices)
            step[one], step[other] = step[one] + a, step[other] + b
            if 0 <= step[one] < sizes[one] and 0 <= step[other] < sizes[other]:
                yield tuple(step)


def lowest(goal: Goal, start: Choices) -> Choices:
    """Return where it goes no further down."""
    here = start
    while (best := min(near(here), key=functools.partial(misses, goal))) != here:
        if misses(goal, best) >= misses(goal, here):
            break
        here = best
    return here


def found(goal: Goal, starts: int, seed: int) -> list[Choices]:
    """Return the designs that meet the goal, the cheapest first."""
    rng = random.Random(seed)
    drawn = (tuple(rng.randrange(len(values)) for values in DIMENSIONS.values()) for _ in range(starts))
    ends = {lowest(goal, one) for one in drawn if cost(one) is not None}
    return sorted((end for end in ends if not misses(goal, end)[0]), key=lambda end: misses(goal, end))


def line(choices: Choices) -> str:
    """Return a row about a design; raise if it breaks a practice."""
    candidate, price = design(choices), cost(choices)
    assert candidate is not None
    assert price is not None
    broken = [why for why in judge(candidate, PRACTICES, [CORE]).constraints.values() if why]
    assert not broken, broken
    config = candidate.config
    numbers = f"{price.instructions[CORE] / M:.2f} | {price.macs / M:.1f} | {price.params / M:.3f}"
    shape = f"{config.widths} | {config.depths} | {config.stage_strides}"
    return f"| {shape} | {config.columns} | {config.stem_width} | {config.expansion} | {numbers} |"


def main() -> None:
    """Print the cheapest designs of each goal, and whether the first is the preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=1500, help="drawn designs; most are none [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for goal in GOALS:
        designs = found(goal, given.starts, given.seed)
        best = design(designs[0])
        same = best is not None and best.config == PRESETS.get(goal.preset)
        head = f"\n{goal.preset}: {'the first row' if same else 'NOT the first row'} of {len(designs)} designs\n\n"
        sys.stdout.write(
            f"{head}| widths | depths | strides | columns | stem | expansion | M A76 | M MACs | M params |\n"
        )
        sys.stdout.write("|---|---|---|---:|---:|---:|---:|---:|---:|\n")
        sys.stdout.write("".join(f"{line(one)}\n" for one in designs[:4]))


if __name__ == "__main__":
    main()
