"""The ARM cores that are known: what they can compute, and what the emulator and the runtimes must be told of them.

Sources of the features: the technical reference manuals at developer.arm.com, by the name of the core; of the parts:
`MIDR_EL1` there. Caches are those of the boards named.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from attendc.errors import UsageError

__all__ = ["CORES", "Core", "core_of"]

_V8 = ("fp", "asimd", "evtstrm", "crc32", "cpuid")
_V8_2 = ("fp", "asimd", "evtstrm", "crc32", "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "lrcpc", "dcpop")


@dataclass(frozen=True)
class Core:
    """One core.

    Attributes:
        name: as in `-mcpu` and in the emulator.
        part: its number in MIDR_EL1, which the runtimes choose kernels by.
        features: as Linux prints them in /proc/cpuinfo.
        has_fp16: half-precision arithmetic (Armv8.2).
        has_dot_product: SDOT, 16 int8 multiply-accumulates in one instruction.
        boards: what it sits in, for people.
        emulated_as: the emulator's core with the same instructions, where it does not know this one.
    """

    name: str
    part: int
    features: tuple[str, ...]
    boards: tuple[str, ...]
    emulated_as: str = ""

    @property
    def has_dot_product(self) -> bool:
        """Return whether it has SDOT."""
        return "asimddp" in self.features

    @property
    def has_fp16(self) -> bool:
        """Return whether it computes in half precision."""
        return "asimdhp" in self.features


CORES: Mapping[str, Core] = {
    core.name: core
    for core in (
        Core("cortex-a35", 0xD04, _V8, ()),
        Core("cortex-a53", 0xD03, _V8, ("Raspberry Pi 3",)),
        Core("cortex-a55", 0xD05, (*_V8_2, "asimddp"), (), "cortex-a76"),
        Core("cortex-a72", 0xD08, _V8, ("Raspberry Pi 4",)),
        Core("cortex-a76", 0xD0B, (*_V8_2, "asimddp"), ("Raspberry Pi 5",)),
        Core("neoverse-n1", 0xD0C, (*_V8_2, "asimddp"), ()),
    )
}


def core_of(name: str) -> Core:
    """Return the core of that name.

    Raises:
        UsageError: if none is called so.
    """
    if name not in CORES:
        close = difflib.get_close_matches(name, CORES, 1)
        meant = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(f"no core {name!r}", hint=f"{meant}Cores: {', '.join(CORES)}")
    return CORES[name]
