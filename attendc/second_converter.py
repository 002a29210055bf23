"""TensorFlow's own TFLiteConverter, in a process of its own: another way from the same graph to a TFLite file.

It is the second witness of the float32 files: what it makes of the SavedModel must compute what litert-torch made of
the torch graph. It may abort its process where it does not know an operator, which must not take attendc with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from attendc.errors import ConversionError
from attendc.files import replace_file
from attendc.runtimes import load_tensorflow

__all__ = ["tensorflow_tflite"]

TIMEOUT_S = 600
"""A network of 25 M parameters takes less than a minute."""
_PREFIX = "attendc: "


def tensorflow_tflite(savedmodel: Path, target: Path, *, timeout_s: float = TIMEOUT_S) -> None:
    """Convert a float32 SavedModel of attendc's to a TFLite file that takes one image (1, H, W, C).

    Raises:
        ConversionError: if the converter cannot, aborts, or is not done after `timeout_s`.
        OutputError: if the file cannot be written.
    """
    package = str(Path(__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH", "")
    with replace_file(target) as beside:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "attendc.second_converter", str(savedmodel), str(beside)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (package, inherited) if p)},
            )
        except subprocess.TimeoutExpired as e:
            raise ConversionError(f"TFLiteConverter is not done with {savedmodel.name} after {timeout_s:g} s") from e
        if done.returncode != 0 or not beside.is_file():
            raise ConversionError(f"TFLiteConverter cannot convert {savedmodel.name}: {_reason(done)}")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return what the process said last, or how it ended."""
    said = [line.removeprefix(_PREFIX) for line in done.stdout.splitlines() if line.startswith(_PREFIX)]
    if said:
        return said[-1]
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return f"exit code {done.returncode}"


def _convert(savedmodel: Path, target: Path) -> None:
    tf = load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        _write_for_one_image(savedmodel, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        target.write_bytes(converter.convert())


def _write_for_one_image(savedmodel: Path, folder: Path) -> None:
    """Copy the graph with a batch of 1, which shapes inside follow: none of them is stored."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((savedmodel / "saved_model.pb").read_bytes())
    (meta,) = saved.meta_graphs
    (image,) = [n for n in meta.graph_def.node if n.op == "Placeholder"]
    signature = meta.signature_def["serving_default"]
    image.attr["shape"].shape.dim[0].size = 1
    for tensor in (*signature.inputs.values(), *signature.outputs.values()):
        tensor.tensor_shape.dim[0].size = 1
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))


if __name__ == "__main__":
    try:
        _convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - the converter raises whatever its C++ does
        lines = str(error).strip().splitlines() or [type(error).__name__]
        sys.stdout.write(f"{_PREFIX}{lines[0][:200]}\n")
        sys.exit(1)
