"""Run a model on a batch, whatever its format: input float32 (N, C, H, W), output float32 logits (N, classes).

A runner of an int8 file quantizes its input and dequantizes its output by the file's own parameters, so that all
runners can be compared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from attendc.engines import quantized_engine
from attendc.errors import CheckpointError
from attendc.reason import reason_of
from attendc.tflite_check import check_tflite

__all__ = [
    "Runner",
    "load_tensorflow",
    "load_torchscript",
    "onnx_runner",
    "savedmodel_runner",
    "tflite_runner",
    "torch_runner",
    "torchscript_runner",
]

Runner = Callable[[Tensor], Tensor]
Kernels = Literal["xnnpack", "plain", "reference"]


def torch_runner(model: nn.Module) -> Runner:
    """Run an nn.Module or a graph as it is."""

    def run(x: Tensor) -> Tensor:
        # Of an image with one channel the strides may look like channels-last, which views in a graph do not take.
        with torch.no_grad():
            y: Tensor = model(x.clone(memory_format=torch.contiguous_format))
        return y

    return run


def torchscript_runner(path: Path, engine: str = "") -> Runner:
    """Run a TorchScript file on one of torch's quantized engines, `engines.default_engine` unless told.

    The engine counts for int8 files only, and is set only while the file is loaded and run.

    Raises:
        CheckpointError: if the file cannot be read.
        UsageError: if there is no such engine here.
    """
    run = torch_runner(load_torchscript(path, engine))

    def run_on_engine(x: Tensor) -> Tensor:
        with quantized_engine(engine):
            return run(x)

    return run_on_engine


def load_torchscript(path: Path, engine: str = "", *, extra: dict[str, str] | None = None) -> Any:
    """Return a TorchScript module, its weights packed for an engine; the files that `extra` names are read into it.

    Raises:
        CheckpointError: if the file cannot be read.
        UsageError: if there is no such engine here.
    """
    try:
        with quantized_engine(engine):
            return torch.jit.load(str(path), map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, LookupError, ValueError, OSError) as e:
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        raise CheckpointError(f"{path} is no readable TorchScript file: {reason}", hint="Convert it again") from e


def onnx_runner(path: Path, *, threads: int = 1) -> Runner:
    """Run an ONNX file in onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise CheckpointError(f"onnxruntime cannot load {path}: {reason_of(e)}", hint="Convert it again") from e
    name = session.get_inputs()[0].name

    def run(x: Tensor) -> Tensor:
        try:
            return torch.from_numpy(session.run(None, {name: x.numpy()})[0])
        except Exception as e:
            raise CheckpointError(f"onnxruntime cannot run {path}: {reason_of(e)}", hint="Convert it again") from e

    return run


def savedmodel_runner(path: Path, *, threads: int = 1) -> Runner:
    """Run a SavedModel that takes `image` (N, H, W, C) and gives `logits`, by its serving signature.

    TensorFlow fixes its threads when it first computes: `threads` holds for the first SavedModel of a process.

    Raises:
        CheckpointError: if TensorFlow cannot load the folder.
    """
    if not (path / "saved_model.pb").is_file():
        raise CheckpointError(f"{path} is no SavedModel: it holds no saved_model.pb")
    tf = load_tensorflow()
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    try:
        loaded = tf.saved_model.load(str(path))
        loaded.signatures["serving_default"]
    except Exception as e:
        raise CheckpointError(f"TensorFlow cannot load {path}: {reason_of(e)}") from e

    def run(x: Tensor) -> Tensor:
        nhwc = tf.constant(x.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(loaded.signatures["serving_default"](image=nhwc)["logits"].numpy())

    return run


def load_tensorflow() -> Any:
    """Return the module, imported without the lines about processors and CUDA that it writes to stderr meanwhile."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
                import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    import tensorflow as tf

    return tf


def tflite_runner(path: Path, *, kernels: Kernels = "xnnpack", threads: int = 1) -> Runner:
    """Run a TFLite file image by image."""
    interpreter = tflite_interpreter(path, kernels=kernels, threads=threads)

    def run(x: Tensor) -> Tensor:
        try:
            return run_tflite(interpreter, x)
        except (LookupError, RuntimeError, TypeError, ValueError) as e:
            reason = reason_of(e)
            raise CheckpointError(f"the TFLite runtime cannot run {path}: {reason}", hint="Convert it again") from e

    return run


def run_tflite(interpreter: Any, x: Tensor) -> Tensor:
    """Run images (N, C, H, W) one by one through an interpreter whose file takes (1, H, W, C)."""
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run_one(image: Tensor) -> Tensor:
        nhwc = image.permute(1, 2, 0)[None]
        interpreter.set_tensor(source["index"], quantize_like(nhwc, source))
        interpreter.invoke()
        return dequantize_like(interpreter.get_tensor(target["index"]), target)[0]

    return torch.stack([run_one(image) for image in x])


def tflite_interpreter(path: Path, *, kernels: Kernels, threads: int = 1) -> Any:
    """Return an interpreter with its tensors allocated.

    `xnnpack` is what a device runs. `plain` are LiteRT's own kernels; they alone keep every tensor to be looked at.
    `reference` is TensorFlow's interpreter with reference kernels, which may abort the process: see `witness`.

    Raises:
        CheckpointError: if the file is damaged, or the runtime refuses it.
    """
    check_tflite(path)
    try:
        if kernels != "reference":
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            plain = kernels == "plain"
            interpreter: Any = Interpreter(
                str(path),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                if plain
                else OpResolverType.AUTO,
                experimental_preserve_all_tensors=plain,
            )
        else:
            import tensorflow as tf

            interpreter = tf.lite.Interpreter(
                str(path),
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
            )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as e:
        raise CheckpointError(f"the TFLite runtime refuses {path}: {reason_of(e)}", hint="Convert it again") from e
    return interpreter


def quantize_like(x: Tensor, details: dict[str, Any]) -> Any:
    """Return float32 `x` as the tensor of `details` takes it; rounding is the graph's own (x * (1 / scale))."""
    dtype = np.dtype(details["dtype"])
    if dtype == np.float32:
        return x.numpy()
    scale, zero_point = details["quantization"]
    bounds = np.iinfo(dtype)
    inverse = torch.tensor(1.0, dtype=torch.float32) / torch.tensor(scale, dtype=torch.float32)
    steps = torch.round(x * inverse) + zero_point
    return steps.clamp(bounds.min, bounds.max).numpy().astype(dtype)


def dequantize_like(value: Any, details: dict[str, Any]) -> Tensor:
    """Return the real numbers of a tensor."""
    if value.dtype == np.float32:
        return torch.from_numpy(value.copy())
    scale, zero_point = details["quantization"]
    return torch.from_numpy((value.astype(np.float32) - zero_point) * np.float32(scale))
