"""Where a run goes: a folder or a URI, looked at before any work, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from attendc.context import Context
from attendc.errors import OutputError
from attendc.runner.place import check_place, placed

URI = "memory://bucket/run"


@pytest.fixture(autouse=True)
def _empty_memory() -> None:
    MemoryFileSystem.store.clear()


def there(place: Path | str) -> set[str]:
    """Return the names of what lies at a place."""
    if isinstance(place, Path):
        return {p.name for p in place.iterdir()} if place.exists() else set()
    return {Path(p).name for p in MemoryFileSystem().find(place)}


def fill(place: Path | str, *names: str, force: bool = False) -> None:
    with placed(place, Context(), force=force) as folder:
        for name in (*names, "manifest.json"):
            (folder / name).write_text("{}")


@pytest.fixture(params=["folder", "uri"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return tmp_path / "out" / "run" if request.param == "folder" else URI


def test_what_was_filled_is_there(place: Path | str) -> None:
    check_place(place, force=False)
    fill(place, "model", "report")
    assert there(place) == {"manifest.json", "model", "report"}


def test_a_run_that_is_there_is_replaced_only_by_force(place: Path | str) -> None:
    fill(place, "old")
    for attempt in (check_place, lambda p, force: fill(p, "new", force=force)):
        with pytest.raises(OutputError, match="exists already"):
            attempt(place, force=False)
    assert there(place) == {"manifest.json", "old"}
    check_place(place, force=True)
    fill(place, "new", force=True)
    assert there(place) == {"manifest.json", "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError, ZeroDivisionError])
def test_what_ends_early_leaves_nothing(place: Path | str, tmp_path: Path, error: type[BaseException]) -> None:
    def stop(folder: Path) -> None:
        (folder / "model").write_text("half")
        raise error("stop")

    with pytest.raises(error), placed(place, Context(), force=False) as folder:
        stop(folder)
    assert there(place) == set()
    assert list(tmp_path.iterdir()) == []


def test_what_ends_early_leaves_an_older_run_as_it_was(place: Path | str) -> None:
    fill(place, "old")
    with pytest.raises(KeyboardInterrupt), placed(place, Context(), force=True):
        raise KeyboardInterrupt
    assert there(place) == {"manifest.json", "old"}


def test_an_error_of_writing_is_one_of_ours(place: Path | str) -> None:
    with pytest.raises(OutputError, match="No space left on device") as caught, placed(place, Context(), force=False):
        raise OSError(28, "No space left on device")
    assert caught.value.hint.startswith("Free some space")


def test_a_strangers_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(OutputError, match="was not made by attendc"):
        check_place(tmp_path / "photos", force=True)


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_place(tmp_path / "file" / "run", force=False)


def test_looking_makes_nothing(place: Path | str, tmp_path: Path) -> None:
    check_place(place, force=False)
    assert list(tmp_path.iterdir()) == []
    assert there(place) == set()


def test_a_scheme_that_is_not_known_is_refused() -> None:
    with pytest.raises(OutputError, match="unknown scheme 'floppy'"):
        check_place("floppy://a/run", force=False)
