"""The job of `attendc doctor`: what is there on this machine, against what attendc is tested with."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from attendc.arm.machine.health import Finding, examine_arm, examine_host
from attendc.tested import TESTED_PACKAGES, TESTED_PYTHON

__all__ = ["examine"]


def examine() -> list[Finding]:
    """Look for everything that a command may need. Nothing is changed, and nothing missing is an error."""
    return [_python(), *_packages(), _torch(), *examine_host(), *examine_arm()]


def _python() -> Finding:
    version = platform.python_version()
    tested = version.startswith(f"{TESTED_PYTHON}.")
    hint = "" if tested else f"Tested is Python {TESTED_PYTHON}"
    return Finding("Python", "python", "ok" if tested else "differs", f"{version}, {sys.executable}", hint)


def _packages() -> list[Finding]:
    found = []
    for name, tested in TESTED_PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            hint = f"Type: {sys.executable} -m pip install {name}=={tested}"
            found.append(Finding("Python", name, "missing", "", hint))
            continue
        same = version.partition("+")[0] == tested
        hint = "" if same else f"Tested is {tested}"
        found.append(Finding("Python", name, "ok" if same else "differs", version, hint))
    return found


def _torch() -> Finding:
    """Return the engines of torch's quantized kernels, which run int8 TorchScript files."""
    try:
        from attendc.engines import default_engine, engines

        found = engines()
        default = default_engine()
    except (ImportError, OSError) as e:  # a library of torch's that does not load is an OSError
        return Finding("torch", "engines", "missing", str(e).splitlines()[0], "Install torch again")
    if not found:
        return Finding("torch", "engines", "missing", "torch was built without quantized kernels", "Install another")
    return Finding("torch", "engines", "ok", f"{', '.join(found)}; {default} is taken")
