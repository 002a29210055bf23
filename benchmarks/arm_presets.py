r"""What the members of the family cost on ARM, and what each choice of those built for it is worth.

    attendc arm setup
    OMP_NUM_THREADS=1 python benchmarks/arm_presets.py --keep /tmp/arm-presets

prints a row for each: MACs, parameters, instructions of an inference of the int8 and the float32 TFLite file on the
emulated cores, parts of the int8 file that XNNPACK runs. Weights are random: instructions do not depend on them, and
nothing is said about accuracy. `--keep` is a folder for the files and the counts, so that a run that was stopped goes
on; it takes about a minute a network. Names choose rows: `arm_presets.py attendnext attendnext_arm`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from arm_files import CORES, M, counted, network_files
from arm_networks import Network, member

from attendc.arm.emulation.emulator import Answer
from attendc.errors import UsageError
from attendc.metrics import count_macs

SIGMOID: dict[str, object] = {"gate": "sigmoid"}
PATCH: dict[str, object] = {**SIGMOID, "stem": "patch", "stem_stride": 4}
COLUMNS_OF_16: dict[str, object] = {**PATCH, "widths": (64, 64, 192, 384), "depths": (3, 4, 4, 2)}
ROWS = {
    network.name: network
    for network in (
        member("attendnext"),
        member("attendnext", "attendnext, sigmoid gate", **SIGMOID),
        member("attendnext", "attendnext, sigmoid gate, patch stem", **PATCH),
        member(
            "attendnext",
            "attendnext, sigmoid gate, patch stem, widths 64,64,192,384, depths 3,4,4,2",
            **COLUMNS_OF_16,
        ),
        member("attendnext_arm"),
        member("attendnext_arm_m"),
        member("attendnext_arm_s"),
        member("attendnext_arm_xs"),
        member("attendnext_xa"),
        member("attendnext_nano"),
        member("attendnext_nano_arm"),
    )
}
HEAD = (
    "| network | M MACs | M params | int8 A76 | int8 A72 | f32 A76 | f32 A72 | MACs by int8 A76 | f32 by it | parts |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def row(network: Network, small: dict[str, Answer], whole: dict[str, Answer]) -> str:
    """Return a line of the table; answers by core."""
    model = network.make()
    macs = count_macs(model, (network.channels, network.size, network.size))
    params = sum(p.numel() for p in model.parameters())
    counts = [[one[core].instructions or 0 for core in CORES] for one in (small, whole)]
    cells = [f"{macs / M:.1f}", f"{params / M:.3f}", *(f"{n / M:.2f}" for pair in counts for n in pair)]
    cells += [f"{macs / counts[0][0]:.2f}", f"{counts[1][0] / counts[0][0]:.2f}", str(small[CORES[0]].partitions)]
    return f"| {network.name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {'; '.join(ROWS)}")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    names = given.names or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise UsageError(f"no row {unknown[0]!r}", hint=f"There are {'; '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as folder:
        made = {name: network_files(ROWS[name], given.keep or Path(folder)) for name in names}
        answers = counted((path for pair in made.values() for path in pair), given.keep)
        lines = [
            row(ROWS[name], *({core: answers[core][path] for core in CORES} for path in pair))
            for name, pair in made.items()
        ]
    sys.stdout.write("\n".join((*HEAD, *lines)) + "\n")


if __name__ == "__main__":
    main()
