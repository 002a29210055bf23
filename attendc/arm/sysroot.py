"""Where the emulated machine lies: `root` for all cores, and for each core a prefix with files of its own.

CACHE/arm/root/            arm64 libraries and Python, and in `site` the aarch64 wheels
CACHE/arm/cores/CORE/      links to `root`, and `proc` and `sys` as that core has them
CACHE/arm/plugin/count.so  counts instructions
"""

from __future__ import annotations

import os
from pathlib import Path

from attendc.arm.cores import Core
from attendc.files import cache_folder

__all__ = ["PYTHON", "SITE", "arm_folder", "plugin_path", "prefix_of"]

PYTHON = "usr/bin/python3.11"
SITE = "/site"
"""Where the guest finds the wheels."""


def arm_folder() -> Path:
    """Return the folder of the emulated machine: $ATTENDC_ARM, else `arm` in the user's cache."""
    own = os.environ.get("ATTENDC_ARM")
    return Path(own) if own else cache_folder() / "arm"


def prefix_of(core: Core) -> Path:
    """Return what the emulator takes for the root of the file system."""
    return arm_folder() / "cores" / core.name


def plugin_path() -> Path:
    """Return the compiled plugin."""
    return arm_folder() / "plugin" / "count.so"
