"""Runs go elsewhere whole: the manifest last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fetching import Told

from attendc.context import Context
from attendc.errors import InternalError, OutputError
from attendc.locations import deliver


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "stages").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "zebra.tflite").write_bytes(b"int8")
    (folder / "stages" / "1.json").write_text("[]")
    return folder


def names_in(memory: Any, path: str) -> list[str]:
    return sorted(str(p).removeprefix(f"{path}/") for p in memory.find(path))


def test_a_run_is_delivered_with_its_manifest_last(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one/", told.context)
    assert names_in(memory, "/runs/one") == ["manifest.json", "stages/1.json", "zebra.tflite"]
    assert memory.cat("/runs/one/zebra.tflite") == b"int8"
    assert told.bars == [("writing to memory://runs/one/", 8, 8)]
    last = max(memory.store.values(), key=lambda file: file.created)
    assert last is memory.store["/runs/one/manifest.json"]


def test_a_run_that_is_there_is_kept_without_force(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one", told.context)
    (run / "zebra.tflite").write_bytes(b"new")
    with pytest.raises(OutputError, match=r"memory://runs/one exists already\. Add --force"):
        deliver(run, "memory://runs/one", told.context)
    assert memory.cat("/runs/one/zebra.tflite") == b"int8"


def test_force_replaces_a_run_as_a_whole(memory: Any, run: Path, told: Told) -> None:
    deliver(run, "memory://runs/one", told.context)
    (run / "zebra.tflite").unlink()
    (run / "model.onnx").write_bytes(b"new")
    deliver(run, "memory://runs/one", told.context, force=True)
    assert names_in(memory, "/runs/one") == ["manifest.json", "model.onnx", "stages/1.json"]


def test_an_upload_that_stopped_is_taken_up_without_force(memory: Any, run: Path, told: Told) -> None:
    def stop_after_one(title: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        @contextmanager
        def bar() -> Iterator[Callable[[int, str], None]]:
            def advance(count: int, text: str) -> None:
                raise KeyboardInterrupt

            yield advance

        return bar()

    with pytest.raises(KeyboardInterrupt):
        deliver(run, "memory://runs/one", Context(progress=stop_after_one))
    assert names_in(memory, "/runs/one") == ["stages/1.json"]
    deliver(run, "memory://runs/one", told.context)
    assert "manifest.json" in names_in(memory, "/runs/one")


def test_a_run_goes_to_a_file_uri(run: Path, told: Told, tmp_path: Path) -> None:
    deliver(run, (tmp_path / "new" / "deep").as_uri(), told.context)
    assert (tmp_path / "new" / "deep" / "stages" / "1.json").read_text() == "[]"


def test_a_place_that_cannot_be_written_is_told(run: Path, told: Told, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write to file:///.*/file/x \(NotADirectoryError"):
        deliver(run, (tmp_path / "file" / "x").as_uri(), told.context)


def test_a_folder_without_a_manifest_is_no_run(told: Told, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"has no manifest\.json"):
        deliver(tmp_path, "memory://runs/one", told.context)
