"""Files of one job appear together or not at all, and replace none unasked."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from full_disk import files_of_at_most

from attendc.errors import OutputError
from attendc.jobs.outputs import check_new, checkpoint_outputs, write_text, write_with_manifest


def held(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


# Names


def test_what_goes_beside_a_checkpoint_has_its_name(tmp_path: Path) -> None:
    paths = checkpoint_outputs(tmp_path / "a" / "x.y.safetensors", ("plan", "manifest"), force=False)
    assert paths == {
        "checkpoint": tmp_path / "a" / "x.y.safetensors",
        "plan": tmp_path / "a" / "x.y.plan.json",
        "manifest": tmp_path / "a" / "x.y.manifest.json",
    }


def test_looking_makes_nothing(tmp_path: Path) -> None:
    checkpoint_outputs(tmp_path / "a" / "x.safetensors", ("plan",), force=False)
    check_new(tmp_path / "b" / "plan.json", force=False)
    assert held(tmp_path) == {}


@pytest.mark.parametrize("name", ["x.pt", "x", "x.safetensors.bak", "safetensors"])
def test_a_checkpoint_is_a_safetensors(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=rf"{name} does not end in \.safetensors"):
        checkpoint_outputs(tmp_path / name, (), force=False)


@pytest.mark.parametrize("existing", ["x.safetensors", "x.plan.json"])
def test_one_that_exists_needs_force(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).touch()
    with pytest.raises(OutputError, match=rf"{existing} exists already\. Add --force to replace it"):
        checkpoint_outputs(tmp_path / "x.safetensors", ("plan",), force=False)
    checkpoint_outputs(tmp_path / "x.safetensors", ("plan",), force=True)


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.plan.json").mkdir()
    with pytest.raises(OutputError, match=r"x\.plan\.json is a folder"):
        checkpoint_outputs(tmp_path / "x.safetensors", ("plan",), force=True)


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file\. A part of the path is a file"):
        check_new(tmp_path / "file" / "a" / "plan.json", force=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission in"):
        check_new(tmp_path / "plan.json", force=False)


# Writing


def test_the_manifest_lists_the_files_that_it_is_written_with(tmp_path: Path) -> None:
    contents = {tmp_path / "a" / "x.safetensors": b"weights", tmp_path / "a" / "x.plan.json": b"plan"}
    manifest = write_with_manifest(contents, tmp_path / "a" / "x.manifest.json", {"seed": 3, "where": tmp_path})
    entries = {p.name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for p, c in contents.items()}
    assert manifest == {"seed": 3, "where": tmp_path, "outputs": entries}
    files = held(tmp_path / "a")
    assert json.loads(files.pop("x.manifest.json")) == {"seed": 3, "where": str(tmp_path), "outputs": entries}
    assert files == {"x.safetensors": b"weights", "x.plan.json": b"plan"}


@pytest.mark.parametrize("too_large", ["x.safetensors", "x.plan.json", "x.manifest.json"])
def test_a_full_disk_leaves_what_was_there_and_names_the_file(tmp_path: Path, too_large: str) -> None:
    old = dict.fromkeys(("x.safetensors", "x.plan.json", "x.manifest.json"), b"old")
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    big = {name: b" " * 5000 if name == too_large else b"" for name in ("x.safetensors", "x.plan.json")}
    contents = {tmp_path / name: content for name, content in big.items()}
    note = "long" * 2000 if too_large == "x.manifest.json" else ""
    with files_of_at_most(4096), pytest.raises(OutputError, match=rf"cannot write \S*/{too_large}: File too large"):
        write_with_manifest(contents, tmp_path / "x.manifest.json", {"note": note})
    assert held(tmp_path) == old


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "plan.json"
    write_text(path, "old")
    with files_of_at_most(100), pytest.raises(OutputError, match=r"cannot write .*plan\.json"):
        write_text(path, "new" * 100)
    assert held(tmp_path / "a") == {"plan.json": b"old"}
