r"""AttendNeXt and the networks that its paper names, from scratch by one recipe on one data set: accuracy by seed.

    python benchmarks/paper_accuracy.py --data /usr/share/datasets/fashion-mnist --epochs 3 --seeds 0,1,2 \
        -o benchmarks/paper_accuracy.json

trains every network of `FACTORIES` for each seed, a seed at a time, and keeps a row for each in the file: test accuracy
after the last epoch, loss and validation accuracy by epoch, the recipe. What the file holds already is not trained
again, so a run that was stopped goes on; a file of another recipe is refused. The only change to a network is its first
layer, which takes one channel, and its last, which has ten outputs; each keeps its strides. MobileOne is trained in
branches, as its paper does. `paper_table.py` reads the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from arm_networks import PEERS
from torch import nn

from attendc.context import Context
from attendc.data.images import Dataset
from attendc.data.preprocess import pixel_statistics
from attendc.data.sources import load_dataset
from attendc.errors import OutputError, UsageError
from attendc.jobs.outputs import write_text
from attendc.models.registry import build, resolve
from attendc.train import Task, TrainOptions, accuracy, hold_out, train
from attendc.types import Preprocess

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from foreign import timm_network

__all__ = ["FACTORIES", "read_rows"]

CLASSES, CHANNELS = 10, 1
OPTIONS = TrainOptions(batch_size=128, lr=2e-3, warmup=0.1)
HOLD_OUT = 0.05


def _member(preset: str) -> Callable[[], nn.Module]:
    return lambda: build(resolve(preset, {"in_channels": CHANNELS}, classes=CLASSES))


def _timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm_network(name, CLASSES, CHANNELS)


FACTORIES: dict[str, Callable[[], nn.Module]] = {
    **{name: _member(name) for name in ("attendnext", "attendnext_arm", "attendnext_arm_m", "attendnext_arm_xs")},
    **{name: _timm(model) for name, (model, _) in PEERS.items()},
}
"""Name -> the network with fresh weights, 1 channel in and 10 classes out."""


def read_rows(path: Path, recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a file of this recipe; none where there is no file.

    Raises:
        UsageError: if the file is of another recipe.
    """
    if not path.exists():
        return []
    held = json.loads(path.read_text(encoding="utf-8"))
    if held["recipe"] != recipe:
        raise UsageError(f"{path} is of the recipe {held['recipe']}", hint="Give another -o, or the same options")
    rows: list[dict[str, Any]] = held["runs"]
    return rows


def one_run(name: str, seed: int, dataset: Dataset, size: int, options: TrainOptions) -> dict[str, Any]:
    """Train one network and return its row."""
    torch.manual_seed(seed)
    model = FACTORIES[name]()
    preprocess = Preprocess(size, size, CHANNELS, *pixel_statistics(dataset.train, channels=CHANNELS), fit="pad")
    chosen, chooser = hold_out(dataset.train, HOLD_OUT, seed=seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    context = Context(seed=seed, device=device, say=lambda text: print(f"{name}, seed {seed}: {text}", file=sys.stderr))  # noqa: T201 - a script
    result = train(model, Task(chosen, chooser, preprocess), options, context)
    reached = accuracy(model.eval(), dataset.test, preprocess)
    return {"network": name, "seed": seed, "accuracy": reached, "curve": list(result.curve), "device": device}


def main() -> None:
    """Train what is missing, and print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist-mini")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(FACTORIES)}")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in FACTORIES]:
        raise UsageError(f"no network {unknown[0]!r}", hint=f"There are {', '.join(FACTORIES)}")
    if not given.output.parent.is_dir():
        raise OutputError(f"no folder {given.output.parent}")
    torch.set_num_threads(given.threads)
    options = replace(OPTIONS, epochs=given.epochs)
    dataset = load_dataset(given.data)
    recipe = {"images": len(dataset.train), "test": len(dataset.test), "size": given.size, **asdict(options)}
    rows = read_rows(given.output, recipe)
    done = {(row["network"], row["seed"]) for row in rows}
    for seed in map(int, given.seeds.split(",")):
        for name in given.names or FACTORIES:
            if (name, seed) in done:
                continue
            rows.append(one_run(name, seed, dataset, given.size, options))
            write_text(given.output, json.dumps({"recipe": recipe, "runs": rows}, indent=1) + "\n")
    for row in rows:
        sys.stdout.write(f"{row['network']:16} seed {row['seed']}: {row['accuracy']:.2%}\n")


if __name__ == "__main__":
    main()
