r"""Every artefact of a folder in one table: bytes, accuracy, agreement, and milliseconds at batch 1 against PyTorch.

    attendc quantize CHECKPOINT --int8 --to tflite,onnx,torchscript,savedmodel \
        --dtype int8,float32,float16,dynamic,int16 -o FOLDER
    OMP_NUM_THREADS=1 python benchmarks/targets.py FOLDER [ROUNDS]

- `accuracy` and `agreement` (top-1, with what the file was made from) are those of the folder's manifest.
- `time` is one image through the runtime with one thread, input and output in float32 (N, C, H, W) as verification
  hands them over, relative to the float32 network in PyTorch (eager, batch norms folded) measured in the same run: in
  every round each file runs once more, in an order drawn anew, and is compared with PyTorch in that round. The median
  of all rounds, with the middle half. x86, not ARM.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.runners import runners_of
from attendc.runtimes import Runner
from attendc.stages.convert import graphs_of_folder
from attendc.targets import FLOAT, FORMATS, REFERENCES, Candidate, family_of

CALLS_S = 0.05
"""Each file runs about so long in a round, so that the clock's own time does not matter."""
WARM_UP = 5


def artefacts(folder: Path) -> tuple[dict[str, Any], list[Candidate]]:
    """Return the manifest and what it lists."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    listed = [(name, entry) for name, entry in manifest["outputs"].items() if entry["format"] in FORMATS]
    return manifest, [Candidate(entry["format"], entry["dtype"], folder / name) for name, entry in listed]


def seconds(runner: Runner, x: torch.Tensor, calls: int) -> float:
    """Return the time of one inference."""
    start = time.perf_counter()
    for _ in range(calls):
        runner(x)
    return (time.perf_counter() - start) / calls


def ratios(runners: dict[str, Runner], x: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the time of each against that of PyTorch, a number a round."""
    calls = {}
    for name, runner in runners.items():
        seconds(runner, x, WARM_UP)
        calls[name] = max(1, round(CALLS_S / seconds(runner, x, 3)))
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        times = {name: seconds(runners[name], x, calls[name]) for name in generator.permutation(list(runners))}
        for name, value in times.items():
            found[name].append(value / times[FLOAT])
    return found


def agreement(manifest: dict[str, Any], name: str) -> str:
    """Return the top-1 agreement of a file with what it was made from."""
    wanted = {REFERENCES[family_of(name)], name}
    pairs = [p for p in manifest["verification"]["pairs"] if {p["a"], p["b"]} == wanted]
    return f"{pairs[0]['top1_agreement']:.2%}" if pairs else "-"


def main() -> None:
    """Print the table as Markdown."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    torch.set_num_threads(1)
    manifest, made = artefacts(folder)
    graphs = graphs_of_folder(folder)
    assert graphs.floating is not None
    dataset = load_dataset(graphs.spec.data)
    x, _ = next(batches(dataset.test, graphs.spec.preprocess, batch_size=1))
    makers = runners_of(made, graphs.floating, graphs.quantized)
    names = {one.name: one for one in made}
    with torch.no_grad():
        found = ratios({name: makers[name]() for name in (FLOAT, *names)}, x, rounds)
    reached = manifest["verification"]["accuracy"]
    lines = ["| file | bytes | accuracy | agreement | time |", "|---|---|---|---|---|"]
    lines.append(f"| PyTorch, float32 | | {reached[FLOAT]:.2%} | | 1 |")
    for name, one in names.items():
        low, middle, high = statistics.quantiles(found[name], n=4)
        entry = manifest["outputs"][one.path.name]
        lines.append(
            f"| `{one.path.name}` | {entry['bytes']:,} | {reached[name]:.2%} | {agreement(manifest, name)} "
            f"| {middle:.3f} ({low:.3f} to {high:.3f}) |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
