"""With what runtimes files run on a board: its own, or the wheels that attendc's versions are pinned to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from attendc.arm.board.connection import Look
from attendc.arm.board.host import Host, Runtime
from attendc.arm.board.wheels import carried_wheels, is_supported, why_no_wheels
from attendc.arm.machine.lock import Package, read_lock
from attendc.context import Context
from attendc.errors import UsageError

__all__ = ["MODULES", "choose_wheels"]

_RUNTIME_OF = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}
MODULES = ("numpy", *_RUNTIME_OF.values())
_LEAST_OWN = (3, 9)
"""What guest/work.py asks for."""


def choose_wheels(host: Host, look: Look, formats: Iterable[str], runtime: Runtime, context: Context) -> list[Path]:
    """Return the wheels to carry over, and say so; none: the board's own runtimes are used.

    `formats` are those of the files, `tflite` or `onnx`.

    Raises:
        UsageError: if neither can be, or not what `runtime` asks for.
    """
    needed = {"numpy", *(_RUNTIME_OF[form] for form in formats)}
    lacks_own, lacks_wheels = _why_not_own(look, needed), why_no_wheels(look)
    board = f"{host} ({look.machine}, Python {look.version})"
    if not lacks_own and runtime != "bring":
        context.say(f"{board} runs them in its own {_listed(needed, look)}")
        return []
    if runtime == "own":
        raise UsageError(f"{board} {lacks_own}", hint=_hint(look, needed, can_bring=not lacks_wheels))
    if lacks_wheels:
        also = f"; it {lacks_own}, too" if lacks_own else ""
        raise UsageError(f"{board} {lacks_wheels}{also}", hint=_hint(look, needed, can_bring=False))
    packages = [p for p in _pinned() if _is_for(p, needed)]
    pinned = ", ".join(f"{p.name} {p.version}" for p in packages if _module(p) in needed)
    why = f"; it {lacks_own}" if lacks_own else ""
    context.say(f"{board} gets {pinned} for as long as this runs{why}")
    return carried_wheels(packages, look, context)


def _why_not_own(look: Look, needed: Iterable[str]) -> str:
    if look.python < _LEAST_OWN:
        return f"has a Python older than {'.'.join(map(str, _LEAST_OWN))}"
    missing = [name for name in sorted(needed) if look.modules[name] is None]
    return f"has no {' and no '.join(missing)} in {look.executable}" if missing else ""


def _listed(needed: Iterable[str], look: Look) -> str:
    """Return the board's modules with their versions, and those that attendc is tested with where they differ."""
    tested = {_module(package): package.version for package in _pinned()}
    told = []
    for name in sorted(needed):
        differs = look.modules[name] != tested[name]
        told.append(f"{name} {look.modules[name]}{f' (tested: {tested[name]})' if differs else ''}")
    return ", ".join(told)


def _pinned() -> list[Package]:
    return [package for package in read_lock().packages if package.kind == "wheel"]


def _hint(look: Look, needed: Iterable[str], *, can_bring: bool) -> str:
    if not is_supported(look):
        return "They are for 64-bit systems on ARM and x86-64: set up the 64-bit system if it can have one"
    names = " ".join(name.replace("_", "-") for name in sorted(needed))
    install = f"Type there python3 -m venv ~/attendc && ~/attendc/bin/pip install {names} ; then add --remote-python "
    bring = "Use --runtime bring, or have them there: " if can_bring else ""
    return f"{bring}{install}'~/attendc/bin/python'"


def _module(package: Package) -> str:
    return package.name.replace("-", "_")


def _is_for(package: Package, needed: Iterable[str]) -> bool:
    """Return whether a package is no runtime, or one that is needed; the small ones are for all."""
    return _module(package) not in _RUNTIME_OF.values() or _module(package) in needed
