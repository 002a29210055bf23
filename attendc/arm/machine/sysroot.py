"""Where the emulated machine lies: `root` for all cores, and for each core a prefix with files of its own.

```
FOLDER/root/             arm64 libraries and Python, and in `site` the aarch64 wheels
FOLDER/cores/CORE/       links to `root`, and `proc` and `sys` as that core has them
FOLDER/plugin/count.so   counts instructions
FOLDER/emulator/         only if asked for: an emulator of its own
FOLDER/downloads/        what was unpacked
FOLDER/setup.json        what the machine is made of; written last
```
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from attendc.arm.cores import Core
from attendc.files import cache_folder

__all__ = [
    "EMULATOR",
    "PYTHON",
    "SITE",
    "arm_folder",
    "cores_folder",
    "downloads_folder",
    "emulator_path",
    "own_emulator_folder",
    "plugin_path",
    "prefix_of",
    "root_folder",
    "setup_path",
]

EMULATOR = "qemu-aarch64"
PYTHON = "usr/bin/python3.11"
SITE = "/site"
"""Where the guest finds the wheels."""


def arm_folder() -> Path:
    """Return the folder of the emulated machine: $ATTENDC_ARM, else `arm` in the user's cache."""
    own = os.environ.get("ATTENDC_ARM")
    return (Path(own) if own else cache_folder() / "arm").absolute()


def root_folder() -> Path:
    """Return the folder of what all cores share."""
    return arm_folder() / "root"


def cores_folder() -> Path:
    """Return the folder of the cores' prefixes."""
    return arm_folder() / "cores"


def own_emulator_folder() -> Path:
    """Return the folder of the machine's own emulator, which is there only if it was asked for."""
    return arm_folder() / "emulator"


def emulator_path() -> str | None:
    """Return the emulator to use: the machine's own, else the one on PATH; None: there is none."""
    own = own_emulator_folder() / EMULATOR
    return str(own) if own.is_file() else shutil.which(EMULATOR)


def prefix_of(core: Core) -> Path:
    """Return what the emulator takes for the root of the file system."""
    return cores_folder() / core.name


def downloads_folder() -> Path:
    """Return the folder of the packages."""
    return arm_folder() / "downloads"


def plugin_path() -> Path:
    """Return the compiled plugin."""
    return arm_folder() / "plugin" / "count.so"


def setup_path() -> Path:
    """Return the record of what the machine is made of."""
    return arm_folder() / "setup.json"
