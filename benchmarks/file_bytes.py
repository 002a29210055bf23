"""How close the estimate that `--bytes` goes by comes to the int8 TFLite file.

    python benchmarks/file_bytes.py

The shipped checkpoint and members of the family of other widths and depths, whose biases and statistics are drawn so
that they differ from channel to channel as those of trained networks do (equal constants are stored once).
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from attendc.checkpoint import save_checkpoint
from attendc.compress.capture import probe
from attendc.compress.pruning.cost import int8_bytes
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.shapes import measure_shapes
from attendc.context import Context
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.models.registry import build, resolve
from attendc.opening import CheckpointRequest, open_checkpoint

NANO = Path(__file__).parent.parent / "examples" / "attendnext_nano.safetensors"
MEMBERS: tuple[dict[str, object], ...] = (
    {"widths": [16, 16, 32, 48], "depths": [1, 2, 2, 1]},
    {"widths": [16, 32, 64, 96], "depths": [3, 3, 4, 2]},
    {"widths": [32, 32, 64, 64], "depths": [1, 1, 1, 1], "stem_width": 32},
    {"widths": [32, 64, 96, 192], "depths": [2, 2, 2, 2], "stem_width": 32},
)


def main() -> None:
    """Print a row for each network."""
    lines = ["| network | bytes | estimate | of the file |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        paths = {"attendnext_nano": NANO} | {str(m): drawn(Path(folder), m) for m in MEMBERS}
        for name, path in paths.items():
            real, guess = size(path, Path(folder)), estimate(path)
            lines.append(f"| {name} | {real:,} | {guess:,.0f} | {guess / real:.3f} |")
    sys.stdout.write("\n".join(lines) + "\n")


def drawn(folder: Path, member: dict[str, object]) -> Path:
    """Write a checkpoint of a member with drawn weights."""
    spec = open_checkpoint(CheckpointRequest(NANO)).spec
    architecture = resolve("attendnext_nano", member)
    torch.manual_seed(0)
    model = build(architecture)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
    path = folder / f"{abs(hash(str(member)))}.safetensors"
    save_checkpoint(path, model, dataclasses.replace(spec, architecture=architecture))
    return path


def size(path: Path, folder: Path) -> int:
    """Return the bytes of the int8 TFLite file."""
    output = folder / path.stem
    request = QuantizeRequest(
        CheckpointRequest(path), output, calib=64, images=1, formats=("tflite",), dtypes=("int8",), gate=False
    )
    quantize_checkpoint(request, Context())
    return (output / "model.int8.tflite").stat().st_size


def estimate(path: Path) -> float:
    """Return what `--bytes` goes by."""
    opened = open_checkpoint(CheckpointRequest(path))
    sample = probe(opened.spec.preprocess)
    found = find_dependencies(opened.model, sample)
    return int8_bytes(measure_shapes(opened.model, found.groups, sample))


if __name__ == "__main__":
    main()
