"""How well `attendc check` foresees what an emulated core counts, on ten int8 networks that its table was not made of.

    attendc arm setup
    OMP_NUM_THREADS=1 python benchmarks/arm_check.py --keep /tmp/arm-check

Four members of the family drawn by a seed, six networks of timm, each by `attendc quantize --calib random`; weights are
random. For each core a table: expected and counted instructions, XNNPACK's parts as check tells and as the core has
them, and what falls out. Ends with code 1 if the median error of a core is over 5 %, if the parts differ, or if an
operator that falls out has no reason. `--keep` is a folder for the files, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from arm_files import CORES, M, counted, network_files
from arm_networks import Network, of_timm
from torch import nn

from attendc.arm.check.check import Checked, check_file
from attendc.arm.check.reasons import UNKNOWN
from attendc.arm.emulation.emulator import Answer
from attendc.models.attendnext import attendnext_from_config

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from nets import settle

SEED = 1123
MEMBERS = 4
LIMIT = 0.05


def drawn(rng: random.Random) -> Network:
    """Return a member of the family with a design that nobody chose."""
    columns = rng.choice([2, 4])
    widths = sorted(columns * rng.randint(4, 100 // columns * 3) for _ in range(4))
    design = {
        "widths": tuple(max(8, w) for w in widths),
        "depths": tuple(rng.randint(1, 5) for _ in range(4)),
        "columns": columns,
        "stem_width": columns * rng.randint(2, 10),
        "gate": rng.choice(["softmax", "sigmoid", "hardsigmoid"]),
        "activation": rng.choice(["silu", "relu", "relu6", "hardswish"]),
    }
    size = rng.choice([96, 128, 160, 192, 224])
    told = (design["gate"], design["activation"], f"{columns} columns")
    name = f"AttendNeXt {'-'.join(map(str, design['widths']))}, {', '.join(told)}"

    def make() -> nn.Module:
        torch.manual_seed(0)
        return settle(attendnext_from_config(**design, classes=1000))

    return Network(name, make, size, "")


def networks() -> list[Network]:
    """Return the ten."""
    rng = random.Random(SEED)
    named = ("mobilenetv3_large_100", "fbnetc_100", "efficientnet_b0", "mobileone_s1", "mobilenetv2_100", "resnet18")
    return [*(drawn(rng) for _ in range(MEMBERS)), *(of_timm(name, name, "") for name in named)]


def table(core: str, found: Sequence[tuple[Network, Checked, Answer]]) -> tuple[list[str], list[str]]:
    """Return the lines of a core's table, and what is wrong."""
    lines = [
        f"| {core}: network | input | M MACs | expected M | counted M | error | parts expected | there | falls out |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    errors, wrong = [], []
    for network, checked, answer in found:
        if answer.instructions is None:
            wrong.append(f"{network.name}: {answer.error}")
            continue
        expected = checked.instructions[core]
        errors.append(expected / answer.instructions - 1)
        fallen = [f.operator for f in checked.partitions.fallen]
        out = ", ".join(f"{fallen.count(kind)} {kind}" for kind in sorted(set(fallen))) or "nothing"
        parts = checked.partitions.count
        lines.append(
            f"| {network.name} | {network.size} | {checked.macs / M:.0f} | {expected / M:.2f} | "
            f"{answer.instructions / M:.2f} | {errors[-1]:+.1%} | {parts} | {answer.partitions} | {out} |"
        )
        if parts != answer.partitions:
            wrong.append(f"{network.name}: {parts} parts on the host, {answer.partitions} on {core}")
        wrong += [f"{network.name}: {f.operator}: {f.reason}" for f in checked.partitions.fallen if f.reason == UNKNOWN]
    sizes = [abs(error) for error in errors]
    median = statistics.median(sizes)
    lines += ["", f"{core}: median error {median:.1%}, mean {statistics.mean(sizes):.1%}, worst {max(sizes):.1%}.", ""]
    return lines, wrong + ([f"median error on {core} {median:.1%}, over {LIMIT:.0%}"] if median > LIMIT else [])


def main() -> int:
    """Make, check, count, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for the files that were made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ten, files = networks(), []
        for network in ten:
            files.append(network_files(network, given.keep or Path(name))[0])
            sys.stderr.write(f"made: {network.name}\n")
        checked = [check_file(file, CORES) for file in files]
        wrong: list[str] = []
        for core, answers in counted(files, given.keep).items():
            lines, faults = table(core, list(zip(ten, checked, answers.values(), strict=True)))
            sys.stdout.write("\n".join(lines) + "\n")
            wrong += faults
    sys.stderr.write("".join(f"wrong: {fault}\n" for fault in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
