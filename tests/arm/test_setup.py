"""Setting up the emulated machine: from a folder of packages, whole or with a word on what keeps it from being so."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from arm.machines import LOCK, linked, only, program, required, started

from attendc.arm.cores import CORES, core_of
from attendc.arm.machine.gather import gather_offline, gather_online, present
from attendc.arm.machine.ready import check_ready
from attendc.arm.machine.setup import SetupRequest, setup_arm
from attendc.context import Context
from attendc.errors import OutputError, UsageError
from attendc.files import sha256

pytestmark = pytest.mark.slow

EVERYTHING = dataclasses.replace(LOCK, packages=LOCK.packages + LOCK.emulator)
A76 = core_of("cortex-a76")


@pytest.fixture(scope="module")
def packages(arm_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of all packages, those of the emulator too; what the user has not downloaded is downloaded."""
    (arm_machine / "downloads").mkdir(exist_ok=True)
    folder = linked(arm_machine / "downloads", tmp_path_factory.mktemp("packages") / "all")
    with required():
        gather_online(folder, EVERYTHING, Context(), locked=False)
    return folder


@dataclass(frozen=True)
class Attempts:
    """Setting up one machine with an emulator of its own, on a host that has none: killed once, then by two at once.

    Attributes:
        after_kill: what was in the folder then.
        made: what the process tells that made the machine.
        waited: what the other one tells.
        log: of the other one.
    """

    after_kill: set[str]
    made: dict[str, Any]
    waited: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def attempts(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempts:
    place = tmp_path_factory.mktemp("machine")
    folder, command = place / "arm", ("--offline", str(packages), "--own-emulator", "--json")
    with only(place / "bin", "cc", "as", "ld", "dpkg-deb", "tar"):
        killed = started(*command, machine=folder)
        while not list(folder.glob(".root.*.part/site/numpy")):
            assert killed.poll() is None, killed.communicate()
            time.sleep(0.02)
        killed.kill()
        killed.communicate()
        after_kill = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        both = [started(*command, machine=folder) for _ in range(2)]
        ends = [(json.loads(out), err) for out, err in (process.communicate() for process in both)]
    (waited, log), (made, _) = sorted(ends, key=lambda end: len(end[0]["made"]))
    return Attempts(after_kill, made, waited, log)


@pytest.fixture
def machine(attempts: Attempts) -> dict[str, Any]:
    """Return what is told of that machine."""
    return attempts.made


@pytest.fixture
def there(machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of that machine; a test leaves it whole."""
    monkeypatch.setenv("ATTENDC_ARM", machine["folder"])
    return Path(machine["folder"])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a machine is to be made."""
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "arm"))
    return tmp_path / "arm"


# Made


def test_it_is_made_of_pinned_packages_and_tried(machine: dict[str, Any], there: Path) -> None:
    assert machine["python"].startswith("3.11.")
    assert [p["name"] for p in machine["packages"]] == [p.name for p in LOCK.packages]
    pins = {p.sha256 for p in LOCK.packages}
    assert all(p["pinned"] == (p["sha256"] in pins) for p in machine["packages"])
    assert all(p["pinned"] for p in machine["packages"] if p["kind"] == "wheel")
    assert [p["name"] for p in machine["emulator"]] == [p.name for p in LOCK.emulator]
    assert (machine["qemu"], machine["qemu_version"][:3]) == (str(there / "emulator/qemu-aarch64"), "7.2")
    assert json.loads((there / "setup.json").read_text())["lock"] == LOCK.digest
    for core in CORES.values():
        check_ready(core)


def test_killed_while_unpacking_it_gets_whole_the_next_time(attempts: Attempts) -> None:
    assert attempts.after_kill == {"emulator"}  # which was whole
    assert attempts.made["made"] == ["root", "cores", "plugin"]
    folder = Path(attempts.made["folder"])
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "emulator", "root", "cores", "plugin", "setup.json"
    }  # fmt: skip


def test_of_two_at_once_one_waits_and_has_nothing_to_do(attempts: Attempts) -> None:
    assert attempts.waited == {**attempts.made, "made": []}
    assert f"another process sets up {attempts.made['folder']}; waiting for it" in attempts.log


def test_each_core_shows_what_it_is(there: Path) -> None:
    a72, a76 = ((there / f"cores/{name}/proc/cpuinfo").read_text() for name in ("cortex-a72", "cortex-a76"))
    assert "CPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n" in a72  # r0p3, in a Raspberry Pi 4
    assert "CPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n" in a76  # r4p1, in a Raspberry Pi 5
    assert ("asimddp" in a72, "asimddp" in a76) == (False, True)
    assert (there / "cores/cortex-a55/usr/bin/python3.11").exists()


def test_what_is_whole_is_not_made_again(machine: dict[str, Any], there: Path, tmp_path: Path) -> None:
    (there / "root/site/numpy/compiled.cpython-311.pyc").write_text("by Python itself")
    # A test that ran before this one may have had a part made again, which is when the machine was set up.
    before = json.loads((there / "setup.json").read_text())["set_up"]
    with only(tmp_path / "bin"):
        told = setup_arm(SetupRequest(), Context())
    expected = {**machine, "made": [], "set_up": before}
    assert {**json.loads(json.dumps(told)), "warnings": []} == expected


def test_what_is_damaged_is_made_again_and_nothing_else(there: Path, tmp_path: Path) -> None:
    shutil.rmtree(there / "plugin")
    (there / "cores/cortex-a53/proc/cpuinfo").write_text("")
    root = (there / "root").stat()
    with pytest.raises(UsageError, match=r"set up again: its plugin is not .*\. Type: attendc arm setup"):
        check_ready(A76)
    with only(tmp_path / "bin", "dpkg-deb") as programs:
        program(programs / "cc", "echo no memory >&2", "exit 4")
        with pytest.raises(UsageError, match=r"cc could not compile count\.c: no memory\. It needs a C compiler with"):
            setup_arm(SetupRequest(), Context())
    assert list((there / "plugin").iterdir()) == []
    assert (there / "cores/cortex-a53/proc/cpuinfo").read_text() != ""
    assert setup_arm(SetupRequest(), Context())["made"] == ["plugin"]
    assert (there / "root").stat() == root
    check_ready(A76)


def test_a_machine_of_an_older_attendc_or_another_emulator_is_to_be_set_up_again(there: Path) -> None:
    text = (there / "setup.json").read_text()
    (there / "setup.json").write_text(json.dumps({**json.loads(text), "lock": "last year's", "attendc": "0.0.9"}))
    with pytest.raises(UsageError, match=r"made of other packages, by attendc 0\.0\.9\. Type: attendc arm setup"):
        check_ready(A76)
    (there / "setup.json").write_text(json.dumps({**json.loads(text), "qemu_bytes": 1}))
    with pytest.raises(UsageError, match=r"is not the emulator that it was tried with, .* 7\.2"):
        check_ready(A76)
    (there / "setup.json").write_text(text)
    check_ready(A76)


# Not made: nothing is left that could be taken for a machine


def test_packages_that_a_folder_lacks_are_named_all_at_once(packages: Path, empty: Path, tmp_path: Path) -> None:
    folder = linked(packages, tmp_path / "packages")
    gone = [p.file for p in LOCK.packages if p.name in {"numpy", "tqdm"}]  # wheels are always those of the lock
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(UsageError) as caught:
        setup_arm(SetupRequest(offline=folder), Context())
    assert caught.value.message == f"{folder} lacks 2 of {len(LOCK.packages)} files: {', '.join(gone)}"
    assert "downloads" in caught.value.hint
    with pytest.raises(UsageError, match=r"no folder .*none"):
        setup_arm(SetupRequest(offline=tmp_path / "none"), Context())
    assert not (empty / "root").exists()


def test_a_package_with_another_hash_is_named_with_both(packages: Path, empty: Path, tmp_path: Path) -> None:
    folder = linked(packages, tmp_path / "packages")
    pin = next(p for p in LOCK.packages if p.name == "tqdm")
    (folder / pin.file).unlink()
    (folder / pin.file).write_bytes(b"")
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the sha256 of no bytes
    with pytest.raises(UsageError) as caught:
        setup_arm(SetupRequest(offline=folder), Context())
    assert caught.value.message == (
        f"{folder / pin.file} is damaged or another file: its sha256 is {nothing}, "
        f"that of tqdm {pin.version} is {pin.sha256}"
    )
    assert caught.value.hint == "Remove it and run this again"
    assert not (empty / "root").exists()


@pytest.mark.parametrize(
    ("programs", "missing"),
    [
        ((), "qemu-aarch64, cc, dpkg-deb, apt-get"),
        (("cc", "dpkg-deb", "apt-get"), "qemu-aarch64"),
        (("qemu-aarch64", "dpkg-deb", "apt-get"), "cc"),
        (("qemu-aarch64", "cc", "dpkg-deb"), "apt-get"),
    ],
)
def test_programs_that_are_missing_are_named_all_at_once(
    arm_machine: Path, empty: Path, tmp_path: Path, programs: tuple[str, ...], missing: str
) -> None:
    with (
        only(tmp_path / "bin", *programs),
        pytest.raises(UsageError, match=rf"the emulated machine needs {missing}\. (Type: sudo|Install what)"),
    ):
        setup_arm(SetupRequest(), Context())
    assert not (empty / "root").exists()


def test_from_a_folder_it_needs_nothing_that_downloads(packages: Path, empty: Path, tmp_path: Path) -> None:
    with only(tmp_path / "bin"), pytest.raises(UsageError, match=r"needs qemu-aarch64, cc, dpkg-deb\."):
        setup_arm(SetupRequest(offline=packages), Context())


@pytest.mark.parametrize(
    ("options", "cores", "told"),
    [
        (
            "",
            "cortex-a35 cortex-a53 cortex-a72 cortex-a76 neoverse-n1",
            r"\(10\.0\.2\) was built without .* --own-emul",
        ),
        ("-plugin", "cortex-a53 cortex-a72", r"\(10\.0\.2\) does not know cortex-a35, cortex-a76, neoverse-n1"),
    ],
)
def test_an_emulator_that_cannot_count_or_is_too_old_is_told(
    packages: Path, empty: Path, tmp_path: Path, options: str, cores: str, told: str
) -> None:
    with only(tmp_path / "bin", "cc", "dpkg-deb") as programs:
        program(
            programs / "qemu-aarch64",
            f'case "$*" in --version) echo "qemu-aarch64 version 10.0.2";; -h) echo "{options}";;',
            f'"-cpu help") echo "Available CPUs: {cores}";; esac',
        )
        with pytest.raises(UsageError, match=told):
            setup_arm(SetupRequest(offline=packages), Context())
    assert not (empty / "root").exists()


def test_a_place_that_cannot_be_written_is_told(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "file/arm"))
    with pytest.raises(OutputError, match=r"cannot write .*file/arm: .*\. Set ATTENDC_ARM to a folder that can be"):
        setup_arm(SetupRequest(offline=packages), Context())
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "a,b"))
    with pytest.raises(UsageError, match=r"a,b has a comma in it, which the emulator cannot take"):
        setup_arm(SetupRequest(offline=packages), Context())


# A version that Debian's archive no longer has


def test_a_newer_package_is_taken_and_said_and_kept_or_refused(packages: Path, tmp_path: Path) -> None:
    pin = next(p for p in LOCK.packages if p.name == "zlib1g")
    old = dataclasses.replace(pin, version="1:1.2.12", file="zlib1g_1%3a1.2.12_arm64.deb", sha256="0" * 64)
    lock = dataclasses.replace(
        LOCK, packages=tuple(old if p == pin else p for p in LOCK.packages if p.kind == "wheel" or p == pin)
    )
    folder = linked(packages, tmp_path / "packages")
    for path in folder.glob("zlib1g_*"):
        path.unlink()
    with pytest.raises(UsageError, match=r"no longer has zlib1g 1:1\.2\.12 \(now 1:1\.2\.13.*\)\. Leave out --locked"):
        gather_online(folder, lock, Context(), locked=True)
    online, offline = Context(), Context()
    found = gather_online(folder, lock, online, locked=False)
    (new,) = [taken.package for taken in found if not taken.pinned]
    assert sha256(folder / new.file) == new.sha256
    assert online.warnings == [
        f"zlib1g is {new.version}, not the version that attendc was tested with, which Debian's archive no longer has"
    ]
    assert gather_offline(folder, lock, offline, locked=False) == found
    assert offline.warnings == online.warnings
    with pytest.raises(UsageError, match=r"lacks 1 of 8 files: zlib1g_1%3a1\.2\.12_arm64\.deb"):
        gather_offline(folder, lock, Context(), locked=True)
    (folder / new.file).write_bytes(b"cut")
    with pytest.raises(UsageError, match=f"that of zlib1g {re.escape(new.version)} is {new.sha256}"):
        gather_offline(folder, lock, Context(), locked=False)
    said: list[str] = []
    assert present(folder, lock, Context(say=said.append), locked=False)[1] == [old]
    assert said == [f"{folder / new.file} is not whole and is downloaded again"]
