r"""What the members of the family cost on ARM, and what each choice of those built for it is worth.

    attendc arm setup
    OMP_NUM_THREADS=1 python benchmarks/arm_presets.py --keep /tmp/arm-presets

prints a row for each: MACs, parameters, instructions of an inference of the int8 and the float32 TFLite file on the
emulated cores, parts of the int8 file that XNNPACK runs. Weights are random: instructions do not depend on them, and
nothing is said about accuracy. `--keep` is a folder for the files, so that a run that was stopped goes on; it takes
about a minute a network. Names choose rows: `arm_presets.py attendnext attendnext_arm`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from arm_tools import attendc_files

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.errors import UsageError
from attendc.metrics import count_macs
from attendc.opening import CheckpointRequest, Opened, open_checkpoint

CORES = ("cortex-a76", "cortex-a72")
M = 1e6
SIGMOID: dict[str, object] = {"gate": "sigmoid"}
PATCH: dict[str, object] = {**SIGMOID, "stem": "patch", "stem_stride": 4}
COLUMNS_OF_16: dict[str, object] = {**PATCH, "widths": [64, 64, 192, 384], "depths": [3, 4, 4, 2]}
ROWS: dict[str, tuple[str, dict[str, object]]] = {
    "attendnext": ("attendnext", {}),
    "attendnext, sigmoid gate": ("attendnext", SIGMOID),
    "attendnext, sigmoid gate, patch stem": ("attendnext", PATCH),
    "attendnext, sigmoid gate, patch stem, widths 64,64,192,384, depths 3,4,4,2": ("attendnext", COLUMNS_OF_16),
    "attendnext_arm": ("attendnext_arm", {}),
    "attendnext_arm_s": ("attendnext_arm_s", {}),
    "attendnext_xa": ("attendnext_xa", {}),
    "attendnext_nano": ("attendnext_nano", {}),
    "attendnext_nano_arm": ("attendnext_nano_arm", {}),
}
"""Name -> preset and what is changed in it."""
HEAD = (
    "| network | M MACs | M params | int8 A76 | int8 A72 | f32 A76 | f32 A72 | MACs by int8 A76 | f32 by it | parts |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def network(name: str) -> Opened:
    """Return a row's network with fresh weights."""
    preset, changes = ROWS[name]
    classes = 10 if "nano" in preset else 1000
    return open_checkpoint(CheckpointRequest(None, model=preset, model_args=changes, classes=classes))


def files(name: str, keep: Path) -> tuple[Path, Path]:
    """Return the int8 and the float32 file, made now unless they are there."""
    folder = keep / "".join(c if c.isalnum() else "_" for c in name)
    made = folder / "model.int8.tflite", folder / "model.float32.tflite"
    if not all(path.exists() for path in made):
        folder.mkdir(parents=True, exist_ok=True)
        attendc_files(network(name), folder)
    return made


def row(name: str, small: dict[str, Answer], whole: dict[str, Answer]) -> str:
    """Return a line of the table; answers by core."""
    opened = network(name)
    macs = count_macs(opened.model, opened.spec.preprocess.input_shape)
    params = sum(p.numel() for p in opened.model.parameters())
    counts = [[one[core].instructions or 0 for core in CORES] for one in (small, whole)]
    cells = [f"{macs / M:.1f}", f"{params / M:.3f}", *(f"{n / M:.2f}" for pair in counts for n in pair)]
    cells += [f"{macs / counts[0][0]:.2f}", f"{counts[1][0] / counts[0][0]:.2f}", str(small[CORES[0]].partitions)]
    return f"| {name} | {' | '.join(cells)} |"


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
        made = {name: files(name, given.keep or Path(folder)) for name in names}
        tasks = [Task("count", path) for pair in made.values() for path in pair]
        answers = {core: {one.file: one for one in emulate(core_of(core), tasks)} for core in CORES}
        lines = [
            row(name, *({core: answers[core][path] for core in CORES} for path in pair)) for name, pair in made.items()
        ]
    sys.stdout.write("\n".join((*HEAD, *lines)) + "\n")


if __name__ == "__main__":
    main()
