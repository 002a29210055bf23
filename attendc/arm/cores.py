"""The ARM cores that are known: what they can compute, and what the emulator and the runtimes must be told of them.

Features, caches and clocks are those of the first board named. Sources: features as Linux prints them in /proc/cpuinfo
there, their meaning in https://docs.kernel.org/arch/arm64/elf_hwcaps.html; part, variant and revision are MIDR_EL1's
fields, as there and in the core's Technical Reference Manual; caches and clocks in the source of each core below.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from attendc.errors import UsageError

__all__ = ["CORES", "Core", "core_of"]

_V8 = ("fp", "asimd", "evtstrm", "crc32", "cpuid")
_V8_2 = ("fp", "asimd", "evtstrm", "crc32", "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "lrcpc", "dcpop")
_LINUX = "https://github.com/torvalds/linux/blob/master/arch"
_PI = "https://www.raspberrypi.com/documentation/computers/processors.html"


@dataclass(frozen=True)
class Core:
    """One core.

    Attributes:
        name: as in `-mcpu` and in the emulator.
        part: its number in MIDR_EL1, which the runtimes choose kernels by.
        features: as Linux prints them in /proc/cpuinfo.
        boards: what it sits in, for people.
        emulated_as: the emulator's core with the same instructions, where qemu 7.2 does not know this one.
        variant: r of the core's release rNpM.
        revision: p of it.
        l1d_kib: level 1 cache for data.
        l2_kib: level 2 cache; 0: none.
        l2_shared: whether the cores of a cluster share it.
        l3_kib: level 3 cache, shared; 0: none.
        max_mhz: its highest clock.
        source: of caches and clock.
    """

    name: str
    part: int
    features: tuple[str, ...]
    boards: tuple[str, ...]
    emulated_as: str = ""
    variant: int = 0
    revision: int = 0
    l1d_kib: int = 32
    l2_kib: int = 0
    l2_shared: bool = False
    l3_kib: int = 0
    max_mhz: int = 0
    source: str = ""

    @property
    def has_dot_product(self) -> bool:
        """Return whether it has SDOT, 16 int8 multiply-accumulates in one instruction."""
        return "asimddp" in self.features

    @property
    def has_fp16(self) -> bool:
        """Return whether it computes in half precision (Armv8.2)."""
        return "asimdhp" in self.features

    def as_json(self) -> dict[str, Any]:
        """Return all that is known of it."""
        return {**asdict(self), "has_dot_product": self.has_dot_product, "has_fp16": self.has_fp16}


CORES: Mapping[str, Core] = {
    core.name: core
    for core in (
        Core(
            "cortex-a35",
            0xD04,
            _V8,
            ("NXP i.MX 8QuadXPlus MEK", "Toradex Colibri iMX8X", "Odroid-Go Advance (RK3326)"),
            revision=2,
            l2_kib=512,
            l2_shared=True,
            max_mhz=1200,
            source=f"{_LINUX}/arm64/boot/dts/freescale/imx8qxp.dtsi",
        ),
        Core(
            "cortex-a53",
            0xD03,
            _V8,
            ("Raspberry Pi 3B", "Raspberry Pi Zero 2 W", "NXP i.MX 8M Mini EVK"),
            revision=4,
            l2_kib=512,
            l2_shared=True,
            max_mhz=1200,
            source=f"{_LINUX}/arm/boot/dts/broadcom/bcm2837.dtsi, {_PI}",
        ),
        Core(
            "cortex-a55",
            0xD05,
            (*_V8_2, "asimddp"),
            ("Radxa ROCK 3A (RK3568)", "NXP i.MX 93 EVK", "the small cores of RK3588: Radxa ROCK 5B, Orange Pi 5"),
            "cortex-a76",
            variant=2,
            l3_kib=512,
            max_mhz=1992,
            source=f"{_LINUX}/arm64/boot/dts/rockchip/rk356x-base.dtsi, rk3568.dtsi",
        ),
        Core(
            "cortex-a72",
            0xD08,
            _V8,
            ("Raspberry Pi 4B", "Raspberry Pi 400", "NXP LS1046A-RDB"),
            revision=3,
            l2_kib=1024,
            l2_shared=True,
            max_mhz=1800,
            source=f"{_LINUX}/arm/boot/dts/broadcom/bcm2711.dtsi, {_PI}",
        ),
        Core(
            "cortex-a76",
            0xD0B,
            (*_V8_2, "asimddp"),
            ("Raspberry Pi 5", "the large cores of RK3588: Radxa ROCK 5B, Orange Pi 5"),
            variant=4,
            revision=1,
            l1d_kib=64,
            l2_kib=512,
            l3_kib=2048,
            max_mhz=2400,
            source=f"{_LINUX}/arm64/boot/dts/broadcom/bcm2712.dtsi, {_PI}",
        ),
        Core(
            "neoverse-n1",
            0xD0C,
            (*_V8_2, "asimddp"),
            ("Ampere Altra", "AWS Graviton2"),
            variant=3,
            revision=1,
            l1d_kib=64,
            l2_kib=1024,
            l3_kib=32768,
            max_mhz=3000,
            source="https://amperecomputing.com/products/processors (Altra Q80-30)",
        ),
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
