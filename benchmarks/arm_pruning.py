"""A budget in a core's instructions against budgets in MACs: accuracy after the same recovery, and what the files cost.

    python benchmarks/arm_pruning.py --data FASHION_MNIST_FOLDER

Each row is one `attendc quantize --prune ... --qat`: pruned, recovered, trained as an int8 network, converted to
TFLite. Accuracy is top-1 on all test images; instructions are counted on the emulated cores, not estimated. A run that
was finished before comes from attendc's cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.compress.pruning.prune import PruneOptions
from attendc.compress.pruning.recover import RECOVER_OPTIONS
from attendc.context import Context
from attendc.data.images import Images, evenly
from attendc.jobs.quantize import QAT_OPTIONS, QuantizeRequest, quantize_checkpoint
from attendc.opening import CheckpointRequest, open_checkpoint, open_dataset

NANO = Path(__file__).parent.parent / "examples" / "attendnext_nano.safetensors"
CORES = ("cortex-a76", "cortex-a72")
ROWS = ("budget=cortex-a76:0.6", "macs=0.6", "macs=0.5", "macs=0.4")
FILE = "model.int8.tflite"


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--data", default="fashion-mnist-mini")
    parser.add_argument("--budgets", nargs="+", default=list(ROWS), help="as --prune takes them; +: nothing is guarded")
    parser.add_argument("--epochs", type=int, default=2, help="of recovery, and as many of QAT")
    parser.add_argument("--images", type=int, help="training images, spread over the whole; all if it is not given")
    parser.add_argument("--test-images", type=int, help="test images; all if it is not given")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = subset(given, folder / "data.npz")
        manifests = {}
        for place, budget in enumerate(["", *given.budgets]):
            manifests[budget] = made(given, budget, data, folder / str(place))
            sys.stderr.write(f"{budget or 'unpruned'}: {reached(manifests[budget])}\n")
        files = [folder / str(place) / FILE for place in range(len(manifests))]
        print_table(manifests, {core: counted(core, files) for core in CORES})


def subset(given: argparse.Namespace, path: Path) -> str:
    """Write as many images as are asked for as an .npz; return what --data takes."""
    if given.images is None and given.test_images is None:
        return str(given.data)
    spec = open_checkpoint(CheckpointRequest(given.checkpoint, data=given.data)).spec
    whole = open_dataset(spec, seed=given.seed)
    train, test = evenly(whole.train, given.images or len(whole.train)), evenly(whole.test, given.test_images or 10**9)
    np.savez(
        path,
        train_images=pixels(train),
        train_labels=train.targets,
        test_images=pixels(test),
        test_labels=test.targets,
        label_names=np.array(whole.labels),
    )
    return str(path)


def pixels(images: Images) -> np.ndarray:
    """Return the pixels (N, H, W), or (N, H, W, C) of colour."""
    read = np.stack(images.read(range(len(images))))
    return read[..., 0] if read.shape[-1] == 1 else read


def made(given: argparse.Namespace, budget: str, data: str, folder: Path) -> dict[str, Any]:
    """Prune to a budget (none if it is empty), recover, train in int8 and convert; return the manifest."""
    recover = dataclasses.replace(RECOVER_OPTIONS, epochs=given.epochs)
    unit, _, amount = budget.removesuffix("+").partition("=")
    guard = () if budget.endswith("+") else None
    pruning = PruneOptions(unit, amount, guard=guard, sensitivity=True, recover=recover) if budget else None
    request = QuantizeRequest(
        CheckpointRequest(given.checkpoint, data=data),
        folder,
        prune=pruning,
        qat=dataclasses.replace(QAT_OPTIONS, epochs=given.epochs) if budget else None,
        formats=("tflite",),
        dtypes=("int8",),
        images=10**9,
        gate=False,
    )
    return quantize_checkpoint(request, Context(given.seed))


def reached(manifest: dict[str, Any]) -> tuple[float, float]:
    """Return the accuracy of the float network and of its int8 file."""
    accuracy = manifest["verification"]["accuracy"]
    return accuracy["float"], accuracy["tflite"]


def counted(core: str, files: Sequence[Path]) -> list[int]:
    """Return the instructions of one inference of each file."""
    return [answer.instructions or 0 for answer in emulate(core_of(core), [Task("count", file) for file in files])]


def print_table(manifests: dict[str, dict[str, Any]], counts: dict[str, list[int]]) -> None:
    """Print a row for each budget."""
    heads = ["budget", "MACs", "parameters", "float", "int8", *(f"instructions, {core}" for core in counts)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for place, (budget, manifest) in enumerate(manifests.items()):
        model = manifest["model"]
        floating, int8 = reached(manifest)
        costs = [f"{c[place] / 1e6:.3f} M ({c[place] / c[0]:.3f})" for c in counts.values()]
        cells = [
            budget or "none",
            f"{model['macs']:,}",
            f"{model['params']:,}",
            f"{floating:.2%}",
            f"{int8:.2%}",
            *costs,
        ]
        lines.append(f"| {' | '.join([*cells, *costs])} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
