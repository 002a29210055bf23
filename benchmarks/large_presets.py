"""The ImageNet presets with random weights through the whole main job: 0 float operators, every gate, and the time.

    python benchmarks/large_presets.py

The images are the built-in set, scaled to 224x224. Random weights say nothing about accuracy, and two kinds of them
say different things about parity:

- `fresh`: as the network is built. Its batch norms do nothing yet, so the signal dies out and every image gets the
  same logits: the gates hold, which shows little.
- `settled`: batch norms have the statistics of 64 images, as after training. With random weights and a softmax over up
  to 744 channels (int8 steps of 1/256!) a difference of one step grows from layer to layer, in every runtime in
  its own way: the agreement is reported, not gated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from attendc.checkpoint import save_checkpoint
from attendc.cli.main import main
from attendc.data.images import evenly
from attendc.data.preprocess import batches, pixel_statistics
from attendc.data.sources import load_dataset
from attendc.models.registry import build, resolve
from attendc.types import Preprocess, Spec

PRESETS = ("attendnext_xa", "attendnext")
CLASSES = 1000


def make_checkpoint(path: Path, preset: str, *, settled: bool) -> None:
    """Write a checkpoint of `preset` with seeded weights, and batch norms with statistics if `settled`."""
    torch.manual_seed(0)
    dataset = load_dataset("fashion-mnist-mini")
    mean, std = pixel_statistics(dataset.train, channels=3)
    how = Preprocess(224, 224, 3, mean, std, "resize")
    architecture = resolve(preset, {}, classes=CLASSES)
    model = build(architecture)
    if settled:
        settle(model.train(), [x for x, _ in batches(evenly(dataset.train, 64), how, batch_size=16)])
    labels = tuple(f"class {i}" for i in range(CLASSES))
    save_checkpoint(path, model.eval(), Spec(architecture, how, labels, "fashion-mnist-mini"))


def settle(model: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Give every batch norm the mean statistics of all inputs."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        for x in inputs:
            model(x)
    for norm in norms:
        norm.momentum = 0.1


def run(preset: str, folder: Path, *, settled: bool) -> int:
    """Quantize one preset and say how long it took; return the exit code."""
    name = f"{preset}-{'settled' if settled else 'fresh'}"
    checkpoint = folder / f"{name}.safetensors"
    make_checkpoint(checkpoint, preset, settled=settled)
    start = time.monotonic()
    gate = ["--no-gate"] if settled else []
    code = main(["quantize", str(checkpoint), "--int8", "-o", str(folder / name), *gate, *sys.argv[1:]])
    sys.stdout.write(f"{name}: exit code {code} after {time.monotonic() - start:.0f} s\n")
    return code


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(max(run(p, Path(name), settled=s) for s in (False, True) for p in PRESETS))
