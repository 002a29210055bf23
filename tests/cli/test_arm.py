"""`attendc arm` and `attendc doctor` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from arm.machines import only
from commands import cells, told

from attendc.arm.cores import CORES
from attendc.cli.main import main

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.mark.slow
def test_setup_tells_what_there_is_and_where(arm_machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["arm", "setup"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{arm_machine}: whole already, nothing to do\n")
    rows = {row[0]: row[1:] for row in cells(out)}
    assert rows["cortex-a55"][0] == "as cortex-a76"
    assert rows["ai-edge-litert"][0] == "2.3.0"
    assert {"emulator", "libc6", "plugin", *CORES} <= rows.keys()
    assert "cortex-a55 is emulated as cortex-a76, which has the same instructions" in err


@pytest.mark.slow
def test_setup_as_json_is_one_object(arm_machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["arm", "setup", "--json", "-q"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert told.keys() == {
        "folder", "made", "cores", "lock", "attendc", "set_up", "python", "qemu", "qemu_version", "plugin",
        "plugin_source", "packages", "emulator", "qemu_bytes", "warnings",
    }  # fmt: skip
    assert (told["folder"], told["made"], err) == (str(arm_machine), [], "")


def test_setup_that_cannot_be_is_a_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "arm"))
    with only(tmp_path / "bin"):
        assert main(["arm", "setup", f"--offline={tmp_path}"]) == 2
    assert told(capfd).startswith("error: the emulated machine needs qemu-aarch64, cc, dpkg-deb. ")


def test_cores_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["arm", "cores"]) == 0
    rows = {row[0]: row[1:] for row in cells(capfd.readouterr().out) if row[0]}
    assert {name: row[:2] for name, row in rows.items()} == {
        "cortex-a35": ["no", "no"],
        "cortex-a53": ["no", "no"],
        "cortex-a55": ["yes", "yes"],
        "cortex-a72": ["no", "no"],
        "cortex-a76": ["yes", "yes"],
        "neoverse-n1": ["yes", "yes"],
    }
    assert main(["arm", "cores", "--json"]) == 0
    cores = {core["name"]: core for core in json.loads(capfd.readouterr().out)}
    assert cores["cortex-a76"]["boards"][0] == "Raspberry Pi 5"
    assert (cores["cortex-a72"]["has_dot_product"], cores["cortex-a76"]["has_dot_product"]) == (False, True)


@pytest.mark.slow
def test_doctor_shows_what_is_there(arm_machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    rows = {row[1]: row[2:] for row in cells(capfd.readouterr().out)}
    assert {"python", "torch", "engines", "cc", "ssh", "qemu-aarch64", "machine", "packages", *CORES} <= rows.keys()
    assert rows["machine"][0] == "ok"
    assert rows["cortex-a55"] == ["ok", "as cortex-a76"]


def test_doctor_says_what_is_missing_and_what_to_type_and_exits_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "arm"))
    with only(tmp_path / "bin"):
        assert main(["doctor", "--json"]) == 0
        found = {one["name"]: one for one in json.loads(capfd.readouterr().out)}
        assert main(["doctor"]) == 0
        lines = capfd.readouterr().out.splitlines()
    for name in ("qemu-aarch64", "cc", "dpkg-deb", "apt-get", "ssh", "machine"):
        assert found[name]["state"] == "missing"
        assert found[name]["hint"]
    assert found["torch"]["state"] == "ok"
    assert lines[-1] == "machine: missing. Type: attendc arm setup"
