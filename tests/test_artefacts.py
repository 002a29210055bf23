"""Writing what was asked for, and refusing an int8 file that is not int8 throughout."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from full_disk import files_of_at_most
from nets import STAMP, Built

from attendc.artefacts import (
    Sources,
    Wish,
    artefact_entries,
    graph_entries,
    inspect_artefact,
    write_artefacts,
)
from attendc.context import Context
from attendc.errors import ConversionError, OutputError, UsageError
from attendc.files import sha256
from attendc.targets import FORMATS, Candidate

pytestmark = pytest.mark.slow  # every format is converted to


def write(
    folder: Path,
    sources: Sources,
    context: Context | None = None,
    *,
    formats: Sequence[str] = ("onnx",),
    dtypes: Sequence[str] = ("int8",),
    allow_float: bool = False,
) -> list[Candidate]:
    wish = Wish(formats, dtypes, allow_float=allow_float)
    return write_artefacts(folder, sources, wish, context or Context())


@pytest.fixture
def sources(built: Built) -> Sources:
    """Return the graphs of the mixed net."""
    return Sources(built.floating, built.quantized, STAMP)


@pytest.fixture
def mislabelled(built: Built) -> Sources:
    """Return the float graph in the place of the quantized one: no converter can make int8 of it."""
    return Sources(None, built.floating, STAMP)


def test_every_format_is_written_in_every_type_that_it_has(sources: Sources, tmp_path: Path) -> None:
    said: list[str] = []
    context = Context(say=said.append)
    made = write(tmp_path, sources, context, formats=("tflite", "onnx", "torchscript"), dtypes=("int8", "float16"))
    assert {one.name for one in made} == {"tflite", "onnx", "torchscript", "tflite_float16"}
    assert {one.path.name for one in made} == {p.name for p in tmp_path.iterdir()}
    assert said == ["onnx is not written in float16", "torchscript is not written in float16"]


def test_a_type_that_no_format_asked_for_has_is_refused(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"onnx is not written in dynamic.*tflite: int8, float32, float16, dynamic"):
        write(tmp_path, sources, formats=("onnx",), dtypes=("dynamic",))


def test_the_entry_of_a_folder_counts_all_that_is_in_it(sources: Sources, tmp_path: Path) -> None:
    (entry,) = artefact_entries(write(tmp_path, sources, formats=("savedmodel",), dtypes=("float32",))).values()
    files = [p for p in (tmp_path / "model.float32.savedmodel").rglob("*") if p.is_file()]
    assert entry["bytes"] == sum(p.stat().st_size for p in files)
    assert len(entry["sha256"]) == 64
    assert entry["transposes"] == 0


def test_entries_say_what_is_in_the_files(sources: Sources, tmp_path: Path) -> None:
    (entry,) = artefact_entries(write(tmp_path, sources)).values()
    path = tmp_path / "model.int8.onnx"
    assert (entry["format"], entry["dtype"], entry["name"]) == ("onnx", "int8", "onnx")
    assert (entry["sha256"], entry["bytes"]) == (sha256(path), path.stat().st_size)
    assert (entry["float_ops"], entry["transposes"]) == (0, 0)
    assert entry["ops"]["Conv"] > 0


def test_graphs_beside_the_artefacts_have_entries_too(tmp_path: Path) -> None:
    (tmp_path / "model.int8.pt2").write_bytes(b"graph")
    (entry,) = graph_entries(tmp_path).values()
    assert entry == {"format": "pt2", "dtype": "int8", "sha256": sha256(tmp_path / "model.int8.pt2"), "bytes": 5}


def test_float_artefacts_carry_no_calibration(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path, sources, dtypes=("int8", "float32"))
    stamps = {d: inspect_artefact("onnx", tmp_path / f"model.{d}.onnx")["metadata"] for d in ("int8", "float32")}
    assert [stamps["int8"][f"attendc.{k}"] for k in ("dtype", "calibration")] == ["int8", STAMP.calibration]
    assert [stamps["float32"][f"attendc.{k}"] for k in ("dtype", "calibration")] == ["float32", ""]


def test_an_int8_file_with_float_operators_is_refused(mislabelled: Sources, tmp_path: Path) -> None:
    with pytest.raises(
        ConversionError, match=r"model\.int8\.tflite is not int8 throughout: \d+ float operators \(DEPTHWISE_CONV_2D"
    ):
        write(tmp_path, mislabelled, formats=("tflite",))


def test_float_operators_of_an_onnx_file_are_a_warning(mislabelled: Sources, tmp_path: Path) -> None:
    context = Context()
    write(tmp_path, mislabelled, context)
    assert any(t.startswith("model.int8.onnx is not int8 throughout") for t in context.warnings)


def test_allow_float_keeps_it_and_warns(mislabelled: Sources, tmp_path: Path) -> None:
    context = Context()
    write(tmp_path, mislabelled, context, allow_float=True)
    assert (tmp_path / "model.int8.onnx").exists()
    assert any("not int8 throughout" in text for text in context.warnings)


def test_a_float_file_may_have_float_operators(mislabelled: Sources, tmp_path: Path) -> None:
    as_float = dataclasses.replace(mislabelled, floating=mislabelled.quantized, quantized=None)
    (made,) = write(tmp_path, as_float, dtypes=("float32",))
    assert inspect_artefact("onnx", made.path)["float_ops"] > 0


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_told_by_every_format(sources: Sources, tmp_path: Path, kind: str) -> None:
    with files_of_at_most(1000), pytest.raises(OutputError, match=r"cannot write .*File too large"):
        write(tmp_path, sources, formats=(kind,), dtypes=("float32",))
    assert list(tmp_path.iterdir()) == []
