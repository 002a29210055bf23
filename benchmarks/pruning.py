"""attendc's pruner against torch-pruning's stock pruner: same network, budget, recovery and seeds, one table.

    python benchmarks/pruning.py --data FASHION_MNIST_FOLDER

`stock` is torch_pruning.pruner.BasePruner with global ranking, as its README uses it, at the smallest ratio that meets
the budget; only the head is ignored, so `attendc, no guard` is its peer. `stock, guarded` is told to spare stem and
stage 1 as well, as attendc does by default. What stock leaves goes through the same recovery: batch norms measured
again, then training, taught by the network as it was. The seed draws the order of the images and the augmentation.
Accuracy is top-1 on all test images.
"""

from __future__ import annotations

import argparse
import bisect
import copy
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn import functional

from attendc.compress.capture import probe
from attendc.compress.pruning.prune import PruneOptions
from attendc.compress.pruning.recover import RECOVER_OPTIONS, recover, refresh_batch_norms
from attendc.context import Context
from attendc.data.images import Dataset, evenly
from attendc.data.preprocess import batches
from attendc.metrics import count_macs, count_params
from attendc.opening import CheckpointRequest, Opened, open_checkpoint, open_dataset
from attendc.stages.prune import prune, prune_config
from attendc.train import TrainOptions, accuracy

NANO = Path(__file__).parent.parent / "examples" / "attendnext_nano.safetensors"
STOCK = {
    "taylor": torch_pruning.importance.GroupTaylorImportance,
    "l2": torch_pruning.importance.GroupMagnitudeImportance,
}
METHODS: dict[str, dict[str, Any]] = {
    "stock/taylor": {},
    "stock/l2": {},
    "attendc, no guard/taylor": {"importance": "taylor", "guard": ()},
    "attendc, no guard/sensitivity": {"importance": "taylor", "sensitivity": True, "guard": ()},
    "stock, guarded/taylor": {"guarded": True},
    "stock, guarded/l2": {"guarded": True},
    "attendc/taylor": {"importance": "taylor"},
    "attendc/sensitivity": {"importance": "taylor", "sensitivity": True},
    "attendc, 4 steps/sensitivity": {"importance": "taylor", "sensitivity": True, "steps": 4},
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One row before the mean: a method, a seed, and what all share."""

    method: str
    seed: int
    checkpoint: Path
    data: str
    macs: float
    epochs: int
    images: int


def main() -> None:
    """Run every method with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=NANO)
    parser.add_argument("--data", default="fashion-mnist-mini")
    parser.add_argument("--macs", type=float, default=0.5, help="part of the multiply-accumulates that may stay")
    parser.add_argument("--epochs", type=int, default=1, help="of recovery")
    parser.add_argument("--images", type=int, default=20000, help="training images of recovery, spread over the whole")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    runs = [
        Run(method, seed, given.checkpoint, given.data, given.macs, given.epochs, given.images)
        for seed in given.seeds
        for method in given.methods
    ]
    found: dict[str, list[tuple[float, float, float]]] = {}
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for run, result in zip(runs, pool.map(measure, runs), strict=True):
            found.setdefault(run.method, []).append(result)
            told = f"{run.method}, seed {run.seed}: {result[0]:.3f} {result[1]:.3f} {result[2]:.2%}"
            sys.stderr.write(told + "\n")
    print_table(found)


def measure(run: Run) -> tuple[float, float, float]:
    """Return (part of the MACs, part of the parameters, top-1 after recovery) of one run."""
    torch.set_num_threads(1)
    context = Context(run.seed)
    opened = open_checkpoint(CheckpointRequest(run.checkpoint, data=run.data))
    dataset = open_dataset(opened.spec, seed=run.seed)
    dataset = dataclasses.replace(dataset, train=evenly(dataset.train, run.images))
    recovery = dataclasses.replace(RECOVER_OPTIONS, epochs=run.epochs)
    kind, importance = run.method.split("/")
    if kind.startswith("stock"):
        pruned = stock(opened, dataset, importance, run, guarded=METHODS[run.method].get("guarded", False))
        refresh_batch_norms(pruned, dataset.train, opened.spec.preprocess, context)
        recover(pruned, opened.model, dataset, opened.spec.preprocess, recovery, context)
    else:
        pruned = ours(opened, dataset, recovery, run, context)
    shape = opened.spec.preprocess.input_shape
    return (
        count_macs(pruned, shape) / count_macs(opened.model, shape),
        count_params(pruned) / count_params(opened.model),
        accuracy(pruned, dataset.test, opened.spec.preprocess),
    )


def ours(opened: Opened, dataset: Dataset, recovery: TrainOptions, run: Run, context: Context) -> nn.Module:
    """Return what attendc leaves, recovered."""
    options = PruneOptions("macs", str(run.macs), recover=recovery, **METHODS[run.method])
    return prune(opened, prune_config(options), context, dataset=dataset).opened.model


def stock(opened: Opened, dataset: Dataset, importance: str, run: Run, *, guarded: bool) -> nn.Module:
    """Return what torch-pruning leaves at the smallest ratio, in steps of 1 %, that meets the budget."""
    preprocess = opened.spec.preprocess
    limit = run.macs * count_macs(opened.model, preprocess.input_shape)
    weighed_on = list(batches(evenly(dataset.train, 2048), preprocess, batch_size=64))

    def at(percent: int) -> nn.Module:
        return pruned_by_stock(opened.model, probe(preprocess), weighed_on, importance, percent / 100, guarded=guarded)

    def is_enough(percent: int) -> bool:
        return count_macs(at(percent), preprocess.input_shape) <= limit

    percent = bisect.bisect_left(range(1, 100), True, key=is_enough) + 1
    if percent == 100:
        raise SystemExit(f"stock does not reach {run.macs} of the MACs")
    return at(percent)


def pruned_by_stock(
    network: nn.Module,
    sample: Tensor,
    weighed_on: Sequence[tuple[Tensor, Tensor]],
    importance: str,
    ratio: float,
    *,
    guarded: bool,
) -> nn.Module:
    """Return a copy without `ratio` of the channels, ranked over the whole network."""
    model = copy.deepcopy(network).requires_grad_(True)
    if importance == "taylor":
        for x, targets in weighed_on:
            functional.cross_entropy(model(x), targets).backward()
    ignored = [model.head, model.stem, model.stages[0]] if guarded else [model.head]
    torch_pruning.pruner.BasePruner(
        model,
        sample,
        importance=STOCK[importance](),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=ignored,
    ).step()
    model.zero_grad()
    return model.eval()


def print_table(found: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print the mean over the seeds, and how far they spread."""
    lines = ["| method | importance | MACs | parameters | accuracy | over seeds |", "|---|---|---|---|---|---|"]
    for name, results in found.items():
        method, importance = name.split("/")
        macs, params, reached = (statistics.mean(column) for column in zip(*results, strict=True))
        each = ", ".join(f"{r[2]:.2%}" for r in results)
        lines.append(f"| {method} | {importance} | {macs:.3f} | {params:.3f} | {reached:.2%} | {each} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
