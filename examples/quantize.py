"""The main job from a script, for a job of MLOps: quantize, look at the proof, and decide.

    python examples/quantize.py examples/attendnext_nano.safetensors runs/from-script

Gates that fail raise `attendc.errors.AttendcError`s with the exit codes of the command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attendc


def main(checkpoint: Path, folder: Path) -> None:
    """Quantize to TFLite alone, verified on 500 images, and print what a dashboard would want."""
    request = attendc.QuantizeRequest(
        attendc.CheckpointRequest(checkpoint),
        folder,
        formats=("tflite",),
        dtypes=("int8",),
        images=500,
        gates=attendc.Gates(min_agreement=0.99, max_drop_points=1.0),
        force=True,
    )
    manifest = attendc.quantize(request, attendc.Context(seed=0))
    entry = manifest["outputs"]["model.int8.tflite"]
    proof = manifest["verification"]
    summary = {
        "sha256": entry["sha256"],
        "bytes": entry["bytes"],
        "float_ops": entry["float_ops"],
        "accuracy": proof["accuracy"]["tflite"],
        "accuracy_float": proof["accuracy"]["float"],
        "scales_equal": proof["scales_equal"],
        "passed": proof["passed"],
    }
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
