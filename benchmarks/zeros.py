"""What the runtimes here make of zeros among the weights: nothing, except that the files compress better.

    OMP_NUM_THREADS=1 python benchmarks/zeros.py [ROUNDS]

The shipped network is masked in several ways (`attendc.compress.masks`; not trained again, since cost is all that is
looked at), and each becomes int8 TFLite and ONNX like any other. One line for each file; all but the zeros are ratios
to the dense network's file of the same format:

- `zeros`: the part of the int8 weights in the file's graph that are 0. The dense network has some by rounding; the
  convolutions that stand for average pools have none, and no mask.
- `bytes`: the file. `gzip`: the file after gzip -9, as an app store or an update would send it.
- `latency`: LiteRT with XNNPACK, or onnxruntime; batch 1, one thread. In every round all files run, in an order drawn
  anew, and each is compared with the dense one of that round; the median of all rounds, with the middle half.

`dense again` is the dense file loaded a second time: how far its latency is from 1.000 is how much the others' mean.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

import attendc
from attendc.checkpoint import save_checkpoint
from attendc.compress.masks import MaskKind, mask_weights
from attendc.converters.program import load_program
from attendc.qdq import quant_table
from attendc.runtimes import onnx_runner, tflite_interpreter

CHECKPOINT = Path(__file__).parent.parent / "examples" / "attendnext_nano.safetensors"
DENSE = "dense"
MASKS: dict[str, tuple[MaskKind, float]] = {
    "50 % unstructured": ("unstructured", 0.5),
    "80 % unstructured": ("unstructured", 0.8),
    "2:4": ("2:4", 0.5),
}
CALLS = 10
"""Inferences of one file in one round, so that the clock's own time does not matter."""
WARM_UP = 20

Call = Callable[[], object]


def masked(model: nn.Module, name: str, sample: torch.Tensor) -> nn.Module:
    """Return the network that a line of the table is about."""
    if name == DENSE:
        return model
    kind, ratio = MASKS[name]
    return mask_weights(model, kind, ratio, sample)[0]


def make(folder: Path) -> dict[str, Path]:
    """Write each network as int8 and return its folder."""
    opened = attendc.load_checkpoint(CHECKPOINT)
    sample = torch.zeros(1, *opened.spec.preprocess.input_shape)
    folders = {}
    for name in (DENSE, *MASKS):
        output = folder / name.replace("%", "percent").replace(":", "of").replace(" ", "-")
        checkpoint = output.with_suffix(".safetensors")
        save_checkpoint(checkpoint, masked(opened.model, name, sample), opened.spec)
        request = attendc.QuantizeRequest(
            attendc.CheckpointRequest(checkpoint),
            output,
            calib=64,
            formats=("tflite", "onnx"),
            dtypes=("int8",),
            images=16,
            gate=False,  # without training, few are right
        )
        attendc.quantize_checkpoint(request, attendc.Context())
        folders[name] = output
    return folders


def zeros(folder: Path) -> float:
    """Return the part of zeros among the integer weights of all layers."""
    layers = quant_table(load_program(folder / "model.int8.pt2").graph).layers.values()
    weights = np.concatenate([np.frombuffer(layer.weight, np.int8) for layer in layers])
    return float((weights == 0).mean())


def tflite_call(path: Path) -> Call:
    """Return one inference in LiteRT."""
    interpreter = tflite_interpreter(path, kernels="xnnpack", threads=1)
    details = interpreter.get_input_details()[0]
    image = np.random.default_rng(0).integers(-128, 128, details["shape"]).astype(details["dtype"])
    interpreter.set_tensor(details["index"], image)
    invoke: Call = interpreter.invoke
    return invoke


def onnx_call(path: Path) -> Call:
    """Return one inference in onnxruntime."""
    shape = attendc.load_checkpoint(CHECKPOINT).spec.preprocess.input_shape
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    return partial(onnx_runner(path, threads=1), image)


def seconds(call: Call) -> float:
    """Return the time of `CALLS` inferences."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - start


def latencies(calls: Sequence[Call], rounds: int) -> list[list[float]]:
    """Return for each call its time in units of the first one's, round by round."""
    for call in calls:
        for _ in range(WARM_UP):
            call()
    found: list[list[float]] = [[] for _ in calls]
    order = np.random.default_rng(0)
    for _ in range(rounds):
        times = {int(index): seconds(calls[index]) for index in order.permutation(len(calls))}
        for index, ratios in enumerate(found):
            ratios.append(times[index] / times[0])
    return found


def table(folders: dict[str, Path], file: str, load: Callable[[Path], Call], rounds: int) -> list[str]:
    """Return a line for each network in one format."""
    names = [DENSE, "dense again", *MASKS]
    paths = [folders.get(name, folders[DENSE]) / file for name in names]
    contents = [path.read_bytes() for path in paths]
    packed = [len(gzip.compress(content, 9)) for content in contents]
    lines = []
    measured = latencies([load(path) for path in paths], rounds)
    for name, path, content, small, ratios in zip(names, paths, contents, packed, measured, strict=True):
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(
            f"{file:<18} {name:<18} {zeros(path.parent):>7.1%} {len(content) / len(contents[0]):>7.3f} "
            f"{small / packed[0]:>7.3f} {middle:>8.3f}  ({low:.3f} to {high:.3f})"
        )
    return lines


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folders = make(Path(name))
        lines = [f"{'file':<18} {'network':<18} {'zeros':>7} {'bytes':>7} {'gzip':>7} {'latency':>8}"]
        lines += table(folders, "model.int8.tflite", tflite_call, rounds)
        lines += table(folders, "model.int8.onnx", onnx_call, rounds)
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
