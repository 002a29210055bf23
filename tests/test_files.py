"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from full_disk import files_of_at_most

from attendc.errors import OutputError
from attendc.files import (
    check_writable,
    new_folder,
    replace_file,
    replace_folder,
    sha256,
    tree_bytes,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def made_folder(path: Path, text: str) -> None:
    with new_folder(path, force=True) as folder:
        (folder / "manifest.json").write_text(text)


def test_sha256_is_the_digest_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == expected


def test_the_bytes_of_a_folder_are_those_of_all_files_below(tmp_path: Path) -> None:
    for name in ("b", "a/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    assert tree_bytes(tmp_path) == 3 + 3


def test_a_folder_replaces_only_one_of_its_kind(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replace_folder(tmp_path / "x", "mark") as beside:
            (beside / "mark").write_text(text)
    assert (tmp_path / "x" / "mark").read_text() == "new"
    with pytest.raises(OutputError, match="x exists and holds no other"), replace_folder(tmp_path / "x", "other"):
        pass
    assert names(tmp_path) == ["x"]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with replace_file(tmp_path / "new" / "x") as beside:
        beside.write_text("whole")
        assert not (tmp_path / "new" / "x").exists()
    assert (tmp_path / "new" / "x").read_text() == "whole"
    assert names(tmp_path / "new") == ["x"]


@pytest.mark.parametrize("reason", [ValueError("a bug"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path, reason: BaseException) -> None:
    (tmp_path / "x").write_text("old")
    with pytest.raises(type(reason)), replace_file(tmp_path / "x") as beside:  # noqa: PT012 - writes, then fails
        beside.write_text("half")
        raise reason
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match=r"x is a folder\. Give the name of a file"), replace_file(tmp_path / "x"):
        pytest.fail("it was opened")


def test_a_path_through_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/x"), replace_file(tmp_path / "file" / "x"):
        pytest.fail("it was opened")


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with (
        pytest.raises(OutputError, match=r"cannot write .*x: File too large"),
        files_of_at_most(100_000),
        replace_file(tmp_path / "x") as beside,
    ):
        beside.write_bytes(bytes(200_000))
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("whole")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path / "out") == ["a"]
    assert names(tmp_path) == ["out"]


def test_a_new_folder_can_be_read_by_others(tmp_path: Path) -> None:
    made_folder(tmp_path / "out", "")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_a_folder_that_exists_is_kept_without_force(tmp_path: Path) -> None:
    made_folder(tmp_path / "out", "old")
    with pytest.raises(OutputError, match=r"out exists already\. Add --force"), new_folder(tmp_path / "out"):
        pytest.fail("it was opened")
    assert (tmp_path / "out" / "manifest.json").read_text() == "old"


def test_force_replaces_a_folder_of_ours_as_a_whole(tmp_path: Path) -> None:
    made_folder(tmp_path / "out", "old")
    (tmp_path / "out" / "stale").write_text("")
    made_folder(tmp_path / "out", "new")
    assert (tmp_path / "out" / "manifest.json").read_text() == "new"
    assert names(tmp_path / "out") == ["manifest.json"]
    assert names(tmp_path) == ["out"]


def test_force_never_replaces_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("precious")
    with pytest.raises(OutputError, match="was not made by attendc"):
        made_folder(tmp_path / "photos", "new")
    assert names(tmp_path / "photos") == ["cat.png"]


@pytest.mark.parametrize("reason", [ValueError("a bug"), KeyboardInterrupt()])
def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path: Path, reason: BaseException) -> None:
    made_folder(tmp_path / "out", "old")
    with pytest.raises(type(reason)), new_folder(tmp_path / "out", force=True) as folder:  # noqa: PT012 - as above
        (folder / "manifest.json").write_text("half")
        raise reason
    assert (tmp_path / "out" / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


FILL = """
import sys
from pathlib import Path
from attendc.files import new_folder

with new_folder(Path(sys.argv[1]), force=True) as folder:
    (folder / "manifest.json").write_text("from another process")
    print("half", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def half_written(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a process that has begun to fill the folder; a line on its stdin lets it finish."""
    command = [sys.executable, "-c", FILL, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def test_what_a_killed_process_left_goes_with_the_next_folder(tmp_path: Path) -> None:
    with half_written(tmp_path / "out") as process:
        process.kill()
    (part,) = names(tmp_path)
    assert part.startswith(".out.")
    (tmp_path / ".out.swapping.old" / "out").mkdir(parents=True)  # as a kill in the middle of a replacement leaves
    made_folder(tmp_path / "out", "whole")
    assert names(tmp_path) == ["out"]


def test_what_another_process_is_filling_is_no_leftover(tmp_path: Path) -> None:
    with half_written(tmp_path / "out") as process:
        made_folder(tmp_path / "out", "first")
        assert len(names(tmp_path)) == 2
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_text() == "from another process"


def test_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    others = [".out.part", ".out.holidays2.part", ".other.abcdefgh.part", "out.abcdefgh.part"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".out.abcdefgh.old").write_text("a file")
    made_folder(tmp_path / "out", "")
    assert names(tmp_path) == sorted([*others, ".out.abcdefgh.old", "out"])


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*out"), new_folder(tmp_path / "file" / "out"):
        pytest.fail("it was opened")


def test_a_place_is_checked_without_making_anything(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "x")
    assert names(tmp_path) == []


def test_a_place_below_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/x: .*file is a file"):
        check_writable(tmp_path / "file" / "x")


def test_a_folder_of_the_output_s_name_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match=r"cannot write .*x: no permission in"):
        check_writable(tmp_path / "x")
