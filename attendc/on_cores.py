"""The same files on emulated ARM cores: what they give for the same images, and how their bytes compare with ours.

A core's runtime is the one that a board runs: LiteRT with XNNPACK's NEON kernels, onnxruntime with those of MLAS. All
files of a core run in one process, one image at a time, with one thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.context import Context
from attendc.data.images import Images
from attendc.data.preprocess import batches
from attendc.errors import ConversionError, UsageError
from attendc.runtimes import dequantize_like, onnx_runner, quantize_like, tflite_interpreter
from attendc.targets import ON_CORES, Candidate, on_core
from attendc.types import Preprocess

__all__ = ["BytesOnCore", "check_files", "compare_bytes", "run_on_cores"]

_BATCH = 50


@dataclass(frozen=True)
class BytesOnCore:
    """How the outputs of a file on a core compare, byte by byte, with those of the same file on this machine.

    Attributes:
        runner: `tflite@cortex-a72`.
        core: the core.
        here: the runner of the same file on this machine.
        images: how many both saw, one at a time.
        identical: whether every byte of every output is the same.
        differing_images: of how many images at least one byte differs.
        max_steps: the largest difference of any output, in steps of the int8 output's scale.
    """

    runner: str
    core: str
    here: str
    images: int
    identical: bool
    differing_images: int
    max_steps: float


def check_files(candidates: Sequence[Candidate], cores: Sequence[str]) -> None:
    """Check, before any work, that there is a file to run on the cores.

    Raises:
        UsageError: if there is none.
    """
    if cores and not any(one.format in ON_CORES for one in candidates):
        raise UsageError(
            f"there is no TFLite or ONNX file to run on {', '.join(cores)}", hint="Convert to one: --to tflite,onnx"
        )


def run_on_cores(
    candidates: Sequence[Candidate], cores: Sequence[str], images: Images, preprocess: Preprocess, context: Context
) -> dict[str, Tensor]:
    """Return the logits (N, classes) of every TFLite and ONNX file on every core, by runner: `tflite@cortex-a72`.

    Raises:
        UsageError: if the emulated machine is not set up.
        ConversionError: if a runtime there refuses a file, or dies of it.
    """
    files = [one for one in candidates if one.format in ON_CORES]
    if not cores:
        return {}
    x = torch.cat([batch for batch, _ in batches(images, preprocess, batch_size=_BATCH)])
    tasks = [Task("run", one.path, _fed(one, x)) for one in files]
    outputs: dict[str, Tensor] = {}
    for core in cores:
        started = time.monotonic()
        answers = emulate(core_of(core), tasks, context=context)
        context.say(f"{core}: {len(files)} files on {len(x)} images in {time.monotonic() - started:.0f} s")
        for one, answer in zip(files, answers, strict=True):
            outputs[on_core(one.name, core)] = _logits(one, answer, core)
    return outputs


def compare_bytes(
    candidates: Sequence[Candidate],
    cores: Sequence[str],
    outputs: Mapping[str, Tensor],
    images: Images,
    preprocess: Preprocess,
    *,
    step: float,
) -> tuple[BytesOnCore, ...]:
    """Compare the outputs of every file on every core with those that it gives here.

    `outputs` are the logits of every runner, here and there; `step` is the scale of the int8 output.
    """
    found = []
    for one in candidates:
        if one.format not in ON_CORES:
            continue
        here = outputs[one.name] if one.format == "tflite" else _one_by_one(one, images, preprocess)
        found += [_compared(one.name, core, here, outputs[on_core(one.name, core)], step) for core in cores]
    return tuple(found)


def _fed(one: Candidate, x: Tensor) -> NDArray[Any]:
    """Return images (N, C, H, W) as the file takes them."""
    if one.format == "onnx":
        return np.ascontiguousarray(x.numpy())
    details = tflite_interpreter(one.path, kernels="xnnpack").get_input_details()[0]
    return np.ascontiguousarray(quantize_like(x.permute(0, 2, 3, 1), details))


def _logits(one: Candidate, answer: Answer, core: str) -> Tensor:
    if answer.outputs is None:
        raise ConversionError(f"{one.path} does not run on {core}: {answer.error}", hint="Convert it again")
    if one.format == "onnx":
        return torch.from_numpy(answer.outputs)
    details = tflite_interpreter(one.path, kernels="xnnpack").get_output_details()[0]
    return dequantize_like(answer.outputs, details)


def _one_by_one(one: Candidate, images: Images, preprocess: Preprocess) -> Tensor:
    """Return what an ONNX file gives here for one image at a time, as on the core: a batch takes other kernels."""
    run = onnx_runner(one.path)
    return torch.cat([run(x) for x, _ in batches(images, preprocess, batch_size=1)])


def _compared(name: str, core: str, here: Tensor, there: Tensor, step: float) -> BytesOnCore:
    """Compare real numbers bit by bit; those of an integer output are the same where its bytes are."""
    same = (here.view(torch.int32) == there.view(torch.int32)).all(1)
    largest = float((here.double() - there.double()).abs().max()) / step
    differing = int((~same).sum())
    return BytesOnCore(on_core(name, core), core, name, len(here), differing == 0, differing, float(f"{largest:.4g}"))
