"""The plugin that counts instructions: compiled with the host's C compiler, and tried."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from attendc.arm.cores import core_of
from attendc.arm.machine.host import Qemu
from attendc.arm.machine.sysroot import PYTHON, SITE, plugin_path, prefix_of
from attendc.errors import UsageError
from attendc.files import replace_file, sha256

__all__ = ["GUEST", "compile_plugin", "plugin_hash", "source_hash", "try_machine"]

GUEST = Path(__file__).parent.parent / "guest"
_SOURCE = GUEST / "count.c"
_TRIED_ON = "cortex-a72"
_TRIAL = """
import sys, ctypes
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from work import MARK
ctypes.CDLL(None).syscall(MARK, 0, 0)
import numpy, ai_edge_litert.interpreter, onnxruntime
ctypes.CDLL(None).syscall(MARK, 0, 1)
print(sys.version.split()[0])
"""
_SECONDS = 300
_AGAIN = "Type: attendc arm setup --force; if that does not help, report it"
_TAIL = 400


def source_hash() -> str:
    """Return the hash of the plugin's source."""
    return sha256(_SOURCE)


def plugin_hash() -> str:
    """Return the hash of the compiled plugin; empty: there is none."""
    return sha256(plugin_path()) if plugin_path().is_file() else ""


def compile_plugin(qemu: Qemu) -> None:
    """Compile the plugin for the interface of this emulator.

    Raises:
        UsageError: with what the compiler said.
        OutputError: if it cannot be written.
    """
    with replace_file(plugin_path()) as beside:
        done = subprocess.run(
            ["cc", "-shared", "-fPIC", "-O2", f"-DPLUGIN_API={qemu.plugin_api}", "-o", str(beside), str(_SOURCE)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0 or not beside.exists():
            raise UsageError(
                f"cc could not compile {_SOURCE.name}: {done.stderr[-_TAIL:].strip()}",
                hint="It needs a C compiler with the C library's headers (Debian: gcc libc6-dev)",
            )


def try_machine(qemu: Qemu) -> str:
    """Load the runtimes on a core while counting, and return the version of Python there.

    Raises:
        UsageError: with what went wrong.
    """
    prefix = prefix_of(core_of(_TRIED_ON))
    with tempfile.TemporaryDirectory(prefix="attendc-arm-") as name:
        counts = Path(name) / "counts"
        command = [
            *(qemu.path, "-cpu", _TRIED_ON, "-L", str(prefix), "-plugin", f"{plugin_path()},out={counts}"),
            *(str(prefix / PYTHON), "-c", _TRIAL, str(GUEST), SITE),
        ]
        environment = {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as e:
            raise UsageError(f"the emulated {_TRIED_ON} did not answer in {_SECONDS} seconds", hint=_AGAIN) from e
        marks = [int(line.split()[2]) for line in counts.read_text().splitlines()] if counts.exists() else []
    if done.returncode != 0 or marks != sorted(set(marks)) or not marks:
        raise UsageError(
            f"the emulated {_TRIED_ON} does not work with {qemu.path} {qemu.version} (code {done.returncode}): "
            f"{(done.stderr or 'it counted nothing')[-_TAIL:].strip()}",
            hint=_AGAIN,
        )
    return done.stdout.strip()
