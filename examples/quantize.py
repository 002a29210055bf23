"""The main job from a script, for a job of MLOps: run a recipe, look at the proof, and decide.

    python examples/quantize.py examples/attendnext_pico.safetensors runs/from-script

Gates that fail raise `attendc.errors.AttendcError`s with the exit codes of the command line. Started again, it goes on
where it was stopped, and what was done before is not done again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attendc


def main(checkpoint: Path, folder: Path) -> None:
    """Quantize to TFLite alone, verified on 500 images, and print what a dashboard would want."""
    recipe = attendc.Recipe(
        name="from-script",
        model=attendc.ModelSection(checkpoint=str(checkpoint)),
        stages=(
            attendc.StageEntry("quantize", attendc.QuantizeConfig()),
            attendc.StageEntry("convert", attendc.ConvertConfig(to=("tflite",), dtypes=("int8",))),
            attendc.StageEntry("verify", attendc.VerifyConfig(images=500, max_drop=1.0)),
        ),
    )
    run = attendc.run_recipe(recipe, options=attendc.RunOptions(output=folder, force=True))
    entry = run.manifest["outputs"]["model.int8.tflite"]
    proof = run.manifest["verification"]
    summary = {
        "sha256": entry["sha256"],
        "bytes": entry["bytes"],
        "float_ops": entry["float_ops"],
        "accuracy": proof["accuracy"]["tflite"],
        "accuracy_float": proof["accuracy"]["float"],
        "scales_equal": proof["scales_equal"],
        "passed": proof["passed"],
        "report": str(folder / "report.html"),
    }
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
