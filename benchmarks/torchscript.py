"""TorchScript int8 on every engine against TorchScript float32: one process, one thread, batch 1, run in turns.

    python benchmarks/torchscript.py [--rounds 300]

Both networks are AttendNeXt: the shipped checkpoint (1x32x32), and the preset attendnext (depths 3, 4, 6, 2, input
3x224x224) with random weights and settled batch norms. A round runs each file once, in an order that turns; a ratio is
that of the two times of one round, so that what else the machine does falls on both. Printed are the smallest and the
median time, and the median ratio with the 95 % interval that its order statistics give. The exit code is 1 where fbgemm
stays below 1.5.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import torch
from large_presets import make_checkpoint

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import apply_plan
from attendc.compress.ptq import calibrate
from attendc.context import Context
from attendc.converters.to_torchscript import write_torchscript
from attendc.data.images import evenly
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.engines import engines, quantized_engine
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.runtimes import load_torchscript
from attendc.types import Stamp

NANO = Path(__file__).parent.parent / "examples" / "attendnext_nano.safetensors"
FLOAT, DUE = "float32", 1.5
WARM_UP = 5


def write_files(checkpoint: Path, folder: Path) -> tuple[dict[str, Path], torch.Tensor]:
    """Write a checkpoint as float32 and int8, calibrated on 8 images; return the files, and an image (1, C, H, W)."""
    opened = open_checkpoint(CheckpointRequest(checkpoint))
    how = opened.spec.preprocess
    samples = [x for x, _ in batches(evenly(load_dataset("fashion-mnist-mini").train, 8), how, batch_size=1)]
    floating = capture(opened.model, how)
    corrected, plan = calibrate(
        run_passes(copy.deepcopy(floating), INT8_PASSES), samples, ranges="mse", context=Context()
    )
    files = {}
    for dtype, graph in ((FLOAT, floating), ("int8", apply_plan(corrected, plan))):
        files[dtype] = folder / f"{checkpoint.stem}.{dtype}.ts.pt"
        write_torchscript(files[dtype], graph, Stamp("0", "0" * 64, opened.spec.labels, how, dtype=dtype))
    return files, samples[0].contiguous()


def measure(files: dict[str, Path], x: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each file's inferences, by engine."""
    modules = {e: load_torchscript(files["int8"], e) for e in engines()}
    modules[FLOAT] = load_torchscript(files[FLOAT])
    names, times = list(modules), {name: [] for name in modules}
    for turn in range(WARM_UP + rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            with quantized_engine("" if name == FLOAT else name), torch.no_grad():
                start = time.perf_counter()
                modules[name](x)
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: found[WARM_UP:] for name, found in times.items()}


def ratio(slow: list[float], fast: list[float]) -> tuple[float, float, float]:
    """Return the median of the ratios of pairs, and its 95 % interval from order statistics (normal approximation)."""
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    half = 0.98 * math.sqrt(len(ratios))
    low, high = math.floor(len(ratios) / 2 - half), math.ceil(len(ratios) / 2 + half)
    return median(ratios), ratios[max(low, 0)], ratios[min(high, len(ratios) - 1)]


def report(name: str, files: dict[str, Path], x: torch.Tensor, rounds: int) -> bool:
    """Print the table of one network; return whether fbgemm is fast enough."""
    times = measure(files, x, rounds)
    sizes = {dtype: path.stat().st_size for dtype, path in files.items()}
    sys.stdout.write(f"{name}: {rounds} rounds, {sizes[FLOAT]:,} and {sizes['int8']:,} bytes\n")
    for engine, found in times.items():
        middle, low, high = ratio(times[FLOAT], found)
        sys.stdout.write(
            f"  {engine:8} min {min(found):7.3f} ms  median {median(found):7.3f} ms  "
            f"{middle:5.2f}x ({low:.2f} .. {high:.2f})\n"
        )
    return ratio(times[FLOAT], times["fbgemm"])[0] >= DUE


def main() -> int:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_checkpoint(folder / "attendnext.safetensors", "attendnext", settled=True)
        enough = [
            report(checkpoint.stem, *write_files(checkpoint, folder), count)
            for checkpoint, count in ((NANO, rounds), (folder / "attendnext.safetensors", max(rounds // 6, 20)))
        ]
    return 0 if all(enough) else 1


if __name__ == "__main__":
    sys.exit(main())
