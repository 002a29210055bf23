"""The page of the paper's table: markdown of what was measured and what it says of each claim."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paper_claims import CLAIMS, DTYPES, RUNS, Claim, Part, Row, Unlike, missing_runs, parts_of, short, unlike, verdict

__all__ = ["Found", "results", "written"]

M = 1e6
EQUAL = 224
"""The resolution of the paper."""


@dataclass(frozen=True)
class Found:
    """Everything that was measured.

    Attributes:
        rows: with 3 channels and 1000 classes, each at one resolution.
        trained: what was trained, as it was trained: 1 channel, 10 classes.
        accuracies: network -> test accuracy (0..1) of each of its runs.
        recipe: of the training.
        command: that measured.
        training: the command that trained.
    """

    rows: Sequence[Row]
    trained: Sequence[Row]
    accuracies: Mapping[str, Sequence[float]]
    recipe: Mapping[str, Any]
    command: str
    training: str
    cores: Sequence[str] = field(default=("cortex-a72", "cortex-a76"))


def results(found: Found, claim: Claim, size: int) -> dict[str, list[Part]]:
    """Return design -> what the parts of a claim come to, at one resolution; nothing where the peer was not counted."""
    there = [row for row in found.rows if row.size == size]
    peer = next((row for row in there if row.name == claim.peer), None)
    return {row.name: parts_of(claim, row, peer, found.accuracies) for row in there if row.ours and peer is not None}


def in_words(claim: Claim, parts: Mapping[str, Sequence[Part]]) -> str:
    """Return what becomes of a claim over all designs, in plain words."""
    told = {name: verdict(one) for name, one in parts.items()}
    met = [name for name, words in told.items() if words.startswith("met")]
    if met:
        return f"Met by {', '.join(met)}: {told[met[0]]}."
    still = [name for name, words in told.items() if words.startswith("open")]
    if still:
        return f"Open for {', '.join(still)}: what was measured holds; accuracy was not measured."
    return f"Not met by any design. Part by part, who meets it: {_what_fails(parts)}"


def _what_fails(parts: Mapping[str, Sequence[Part]]) -> str:
    """Say of each part of a claim which designs meet it."""
    return "; ".join(_who_meets([one[place] for one in parts.values()], list(parts)) for place in _places(parts)) + "."


def _places(parts: Mapping[str, Sequence[Part]]) -> range:
    return range(len(next(iter(parts.values()))))


def _who_meets(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Say which designs meet one part."""
    asked = f"{parts[0].name} ({parts[0].says})"
    if all(part.met is None for part in parts):
        return f"{asked}: not measured"
    whole = [name for name, part in zip(names, parts, strict=True) if part.met]
    half = [f"{name} only {part.where}" for name, part in zip(names, parts, strict=True) if part.where]
    return f"{asked}: {', '.join([*whole, *half]) or 'none'}"


def claims_table(found: Found, size: int) -> list[str]:
    """Return a row for each part of each claim, a column for each design, and the verdicts."""
    names = [row.name for row in found.rows if row.ours and row.size == size]
    lines = [f"| the paper | asks for | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for number, claim in enumerate(CLAIMS, 1):
        parts = results(found, claim, size)
        if not parts:
            continue
        lines.append(f"| **{number}. {claim.peer}**: {claim.says} | |{' |' * len(names)}")
        for place, part in enumerate(parts[names[0]]):
            cells = [_cell(parts[name][place]) for name in names]
            lines.append(f"| {part.name} | {part.says} | {' | '.join(cells)} |")
        lines.append(f"| **verdict** | | {' | '.join(f'**{verdict(parts[name])}**' for name in names)} |")
    return lines


def _cell(part: Part) -> str:
    state = {True: "yes", False: (part.where and f"only {part.where}") or "no", None: "?"}[part.met]
    return f"{part.measured}: {state}"


def rows_table(rows: Sequence[Row], cores: Sequence[str]) -> list[str]:
    """Return a line for each network and resolution."""
    heads = [f"{dtype} {short(core)}" for dtype in DTYPES for core in cores]
    lines = [
        f"| network | input | M parameters | M MACs | {' | '.join(heads)} | parts |",
        "|---|---:|---:|---:|" + "---:|" * (len(heads) + 1),
    ]
    for row in rows:
        counts = _counts(row, cores)
        lines.append(
            f"| {_name(row)} | {row.size} | {row.params / M:.2f} | {row.macs / M:.1f} | {counts} | {row.parts} |"
        )
    return lines


def _name(row: Row) -> str:
    return f"{row.name} (int8 mixed)" if row.mixed else row.name


def _counts(row: Row, cores: Sequence[str]) -> str:
    return " | ".join(f"{row.instructions[dtype][core] / M:.1f}" for dtype in DTYPES for core in cores)


def unlike_table(found: Found) -> list[str]:
    """Return what int8, and a smaller input, give against float32 at 224x224, and what is left of it among equals."""
    lines = [
        "| design, int8 | input | against | asked for | float32, 224x224 | int8, same input | what it says |",
        "|---|---:|---|---:|---|---|---|",
    ]
    for row in (row for row in found.rows if row.ours):
        for claim in CLAIMS:
            pairs = unlike(row, claim.peer, found.rows)
            whole = ", ".join(f"{short(one.core)} {one.whole:.2f}" for one in pairs)
            alike = ", ".join(f"{short(one.core)} {one.alike:.2f}" for one in pairs if one.alike is not None) or "-"
            place = f"| {row.name} | {row.size} | {claim.peer} | over {claim.faster:g} "
            lines.append(f"{place}| {whole} | {alike} | {_gain(claim, pairs)} |")
    return lines


def _gain(claim: Claim, pairs: Sequence[Unlike]) -> str:
    """Say on which cores a claim of speed would hold by comparing unlike alone."""
    counted = [(one, one.alike) for one in pairs if one.alike is not None]
    cores = [short(one.core) for one, alike in counted if one.whole > claim.faster >= alike]
    size = " and a smaller input" if pairs[0].ours.size != EQUAL else ""
    return f"over {claim.faster:g} on the {' and '.join(cores)} only with int8{size} against float32" if cores else ""


def accuracy_table(found: Found) -> list[str]:
    """Return the trained networks side by side."""
    heads = [f"{dtype} {short(core)}" for dtype in DTYPES for core in found.cores]
    lines = [
        f"| network | accuracy, mean | spread | runs | M parameters | M MACs | {' | '.join(heads)} |",
        "|---|---:|---:|---|---:|---:|" + "---:|" * len(heads),
    ]
    for row in found.trained:
        runs = found.accuracies.get(row.name, ())
        mean = f"{statistics.mean(runs):.2%}" if runs else "-"
        spread = f"{100 * statistics.stdev(runs):.2f}" if len(runs) > 1 else "-"
        each = ", ".join(f"{100 * run:.2f}" for run in runs) or "none yet"
        costs = f"{row.params / M:.2f} | {row.macs / M:.1f} | {_counts(row, found.cores)}"
        lines.append(f"| {_name(row)} | {mean} | {spread} | {each} | {costs} |")
    return lines


def written(found: Found, name: str) -> str:
    """Return the page; `name` is that of its picture and its numbers, without suffix."""
    smaller = sorted({row.size for row in found.rows if row.ours and row.size != EQUAL}, reverse=True)
    sections = [
        HEAD.format(training=found.training, command=found.command, name=name),
        f"## The four claims, {EQUAL}x{EQUAL}, 1000 classes",
        _table(claims_table(found, EQUAL)),
        _table(
            [f"{n}. {claim.peer}: {in_words(claim, results(found, claim, EQUAL))}" for n, claim in enumerate(CLAIMS, 1)]
        ),
        f"![Parameters, instructions and accuracy of each network]({name}.svg)",
        "## What each network costs",
        _table(rows_table(found.rows, found.cores)),
    ]
    for size in smaller:
        sections += [
            f"## The same at {size}x{size}: both networks on the smaller input",
            _table(claims_table(found, size)),
        ]
    sections += [UNLIKE, _table(unlike_table(found)), _training(found), _table(accuracy_table(found))]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _table(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _training(found: Found) -> str:
    """Return what was trained and how, and what is missing of it."""
    size = found.recipe["size"]
    missing = missing_runs(found.accuracies, [row.name for row in found.trained])
    lacking = ", ".join(f"{count} of {name}" for name, count in missing.items())
    told = TRAINING.format(**found.recipe, size_twice=f"{size}x{size}", runs=RUNS)
    return told + (f"\n**Runs that are still missing: {lacking}.**" if missing else "")


HEAD = """
# The paper's claims, measured

What the abstract of arXiv 2208.06980 claims of AttendNeXt, and what was measured here. Two commands measure it all:

    {training}
    {command}

The same as data: [{name}.json]({name}.json); every training: [paper_accuracy.json](../benchmarks/paper_accuracy.json).

- **Speed** is a ratio of instructions of one inference, the other network's by AttendNeXt's: above 1, AttendNeXt takes
  fewer. One thread, LiteRT with XNNPACK on emulated cores; a count, not a time (see [arm.md](arm.md)). Both networks
  have the same type of numbers and the same resolution, and were made by the same tool. The abstract names no core;
  other papers of the group name the A72. A part is met (`yes`) if it holds on both cores.
- **Designs**: `attendnext` is a reconstruction, since the depths of the paper's network are not known; its size
  follows from the third claim. The others were found here by what they cost on ARM, not by accuracy. All have at most
  3.94 M parameters.
- **Mixed**: the int8 file of MobileViT-XS keeps operators in float32, since attendc has no int8 form of them. Its int8
  numbers are worse than they need be, and flatter AttendNeXt; those in float32 compare fairly.
- **Accuracy on ImageNet is not measured**: ImageNet is not available here. What is compared in its place is accuracy on
  Fashion-MNIST, every network from scratch by one recipe ([below](#accuracy-every-network-from-scratch-by-one-recipe)).
  That is another question, and no points of it are points on ImageNet.
"""
UNLIKE = """
## Compared unlike: int8, or a smaller input, against float32 at 224x224

How many times fewer instructions a design takes in int8 than the other network in float32 at 224x224, and, beside it,
in int8 at the same resolution. Numbers of the first kind are easily taken for a gain of the design; what they show
beyond the second is the gain of int8 and of the smaller input, which the other network can have as well. None makes a
claim met.
"""
TRAINING = """
## Accuracy: every network from scratch, by one recipe

Fashion-MNIST, {images:,} training images (some of them held out) and {test:,} test images, padded to {size_twice}:
{epochs} epochs, batches of {batch_size}, AdamW at {lr:g}, cosine, label smoothing {label_smoothing:g}, flips, shifts,
{runs} seeds. Of a network only the first layer (one channel) and the last (ten classes) are changed. The budget is
equal and short: it tells how far each network comes with so much, not where it would end. Spread is the standard
deviation of the runs in points.
Instructions are of the same networks at the same resolution, MobileOne with its branches joined.
"""
