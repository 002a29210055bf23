"""Is the emulated machine ready? Asked before anything runs on it."""

from __future__ import annotations

from attendc.arm.cores import Core
from attendc.arm.machine.host import how_to_install
from attendc.arm.machine.lock import read_lock
from attendc.arm.machine.record import read_record
from attendc.arm.machine.sysroot import EMULATOR, PYTHON, arm_folder, emulator_path, prefix_of
from attendc.errors import UsageError

__all__ = ["check_ready"]

_HINT = "Type: attendc arm setup"


def check_ready(core: Core) -> None:
    """Check that files can be run on an emulated core.

    Raises:
        UsageError: naming what is missing, with what to type.
    """
    if emulator_path() is None:
        raise UsageError(f"there is no {EMULATOR} to emulate {core.name} with", hint=how_to_install([EMULATOR]))
    record = read_record()
    if record is None:
        raise UsageError(f"there is no emulated machine in {arm_folder()}", hint=_HINT)
    faults = record.faults(read_lock(), None)
    if not (prefix_of(core) / PYTHON).exists():
        faults.append(f"it has no {core.name}")
    if faults:
        raise UsageError(
            f"the emulated machine in {arm_folder()} is to be set up again: {'; '.join(faults)}", hint=_HINT
        )
