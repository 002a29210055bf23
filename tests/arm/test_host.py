"""What the emulated machine needs of the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from attendc.arm.machine import host
from attendc.arm.machine.host import Qemu, how_to_install, qemu_faults

COUNT = Path(host.__file__).parent.parent / "guest" / "count.c"
CORES = frozenset({"cortex-a35", "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1"})


@pytest.mark.parametrize(("version", "api"), [("7.2.22", 1), ("8.2.2", 1), ("9.0.0", 2), ("10.0.13", 2)])
def test_the_interface_for_plugins_changed_with_qemu_9(version: str, api: int) -> None:
    assert Qemu("/usr/bin/qemu-aarch64", version, True, CORES).plugin_api == api


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api", "symbol"),
    [
        (1, "qemu_plugin_register_vcpu_tb_exec_inline"),
        (2, "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu"),
    ],
)
def test_the_plugin_compiles_for_both_without_warnings(
    arm_machine: Path, tmp_path: Path, api: int, symbol: str
) -> None:
    done = subprocess.run(
        ["cc", "-Wall", "-Werror", "-shared", "-fPIC", f"-DPLUGIN_API={api}", "-o", tmp_path / "count.so", COUNT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert f"\0{symbol}\0".encode() in (tmp_path / "count.so").read_bytes()


def test_an_emulator_that_fits_has_no_faults() -> None:
    assert qemu_faults(Qemu("/q", "7.2.22", True, CORES | {"max"})) == []
    (fault,) = qemu_faults(Qemu("/q", "7.0.0", True, CORES - {"cortex-a35"}))
    assert fault == "/q (7.0.0) does not know cortex-a35; 7.2 does"
    (fault,) = qemu_faults(Qemu("/q", "10.0.2", False, CORES))
    assert fault.startswith("/q (10.0.2) was built without plugins, which count the instructions")


@pytest.mark.parametrize(
    ("release", "hint"),
    [
        ("ID=debian", "Type: sudo apt-get install qemu-user gcc libc6-dev"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", "Type: sudo apt-get install qemu-user gcc libc6-dev"),
        ("ID=fedora", "Type: sudo dnf install qemu-user gcc"),
        ("ID=arch", "Install what Debian calls qemu-user gcc libc6-dev"),
        ("", "Install what Debian calls qemu-user gcc libc6-dev"),
    ],
)
def test_what_to_type_depends_on_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, hint: str
) -> None:
    (tmp_path / "os-release").write_text(f"{release}\n")
    monkeypatch.setattr("platform._os_release_candidates", (str(tmp_path / "os-release"),))
    monkeypatch.setattr("platform._os_release_cache", None)
    own = "or, for an emulator of its own: attendc arm setup --own-emulator"
    assert how_to_install(["qemu-aarch64", "cc"]) == f"{hint}; {own}"
    assert how_to_install(["pip"]).endswith(" -m ensurepip")
