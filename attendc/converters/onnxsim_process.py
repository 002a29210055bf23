"""onnxsim in a process of its own: what it does there, crash, hang or eat memory, it does not do to attendc.

The process imports neither torch nor anything of attendc but this file, so that it starts in half a second; onnxsim
alone would import torch wherever that is installed.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attendc.errors import ConversionError

if TYPE_CHECKING:
    import onnx

__all__ = ["Limits", "run_onnxsim"]


@dataclass(frozen=True)
class Limits:
    """What the process may take.

    Attributes:
        seconds: of wall time, start included.
        memory_bytes: of address space; Python, onnx and onnxsim take 0.3 GiB of it before they see a model.
    """

    seconds: float = 120.0
    memory_bytes: int = 4 << 30


def run_onnxsim(model: onnx.ModelProto, limits: Limits) -> onnx.ModelProto:
    """Return what onnxsim makes of a model, which is not changed. Whether it computes the same is not checked.

    Raises:
        ConversionError: if onnxsim refuses the model, crashes, or goes over a limit; the message says which.
    """
    import onnx

    try:
        with tempfile.TemporaryDirectory(prefix="attendc-onnxsim-") as folder:
            source, target = Path(folder, "before.onnx"), Path(folder, "after.onnx")
            source.write_bytes(model.SerializeToString())
            _start(source, target, limits)
            made = onnx.load(target)
    except ConversionError:
        raise
    except Exception as e:  # the disk is full, the model is over 2 GiB, what came back is no model
        raise ConversionError(_first_line(e)) from e
    _drop_diary(made)
    return made


def _drop_diary(model: onnx.ModelProto) -> None:
    """Drop what onnxsim writes into the file about its own work."""
    for holder in (model, model.graph, *model.graph.node):
        kept = [p for p in holder.metadata_props if not p.key.startswith("onnxsim.")]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)


def _start(source: Path, target: Path, limits: Limits) -> None:
    allowed = f"{limits.seconds:g} s and {limits.memory_bytes >> 20} MiB allowed"
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "attendc.converters.onnxsim_process"),
                *(str(source), str(target), str(limits.memory_bytes), str(math.ceil(limits.seconds) + 1)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise ConversionError(f"it did not end in time ({allowed})") from e
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip().splitlines()
    why = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    raise ConversionError(f"{why}{': ' if said else ''}{said[-1][:200] if said else ''} ({allowed})")


def _environment() -> dict[str, str]:
    """Return the environment of the process: attendc can be imported, and threads reserve no address space."""
    package = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in (package, inherited) if p),
        "MALLOC_ARENA_MAX": "2",  # glibc reserves 64 MiB for each arena, and makes eight per core
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]


def _main(source: str, target: str, memory_bytes: int, cpu_seconds: int) -> None:
    # The limit of CPU time ends a process whose parent was killed before it could end it.
    for kind, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_seconds)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.modules["torch"] = None  # type: ignore[assignment] # nothing that simplify does needs it
    try:
        import onnx
        import onnxsim

        simplified, same = onnxsim.simplify(source)
        if not same:
            sys.exit("it says itself that the results are others")
        onnx.save(simplified, target)
    except Exception as e:  # noqa: BLE001 - onnxsim raises whatever its C++ does
        sys.exit(_first_line(e))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
