"""What can be written, under which names, and who must agree with whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from attendc.targets import (
    BY_TENSORFLOW,
    DTYPES,
    DTYPES_OF,
    FORMATS,
    REFERENCES,
    Candidate,
    are_compared,
    core_of_runner,
    family_of,
    file_name,
    is_quantized,
    on_core,
    pairs_of,
)


@pytest.mark.parametrize(
    ("kind", "dtype", "name"),
    [
        ("tflite", "int8", "model.int8.tflite"),
        ("tflite", "dynamic", "model.dynamic.tflite"),
        ("onnx", "float32", "model.float32.onnx"),
        ("torchscript", "int8", "model.int8.ts.pt"),
        ("savedmodel", "float32", "model.float32.savedmodel"),
    ],
)
def test_files_are_named_by_dtype_and_format(kind: str, dtype: str, name: str) -> None:
    assert file_name(kind, dtype) == name


def test_no_two_artefacts_have_one_name() -> None:
    all_of_them = pairs_of(FORMATS, DTYPES)
    assert len(all_of_them) == 5 + 2 + 2 + 2  # tflite has five types, the others two
    assert len({file_name(*pair) for pair in all_of_them}) == len(all_of_them)
    assert len({Candidate(*pair, Path()).name for pair in all_of_them}) == len(all_of_them)


def test_only_what_a_format_has_is_written() -> None:
    assert pairs_of(("onnx", "tflite"), ("float16", "int8")) == [
        ("tflite", "float16"),
        ("onnx", "int8"),
        ("tflite", "int8"),
    ]
    assert pairs_of(("onnx",), ("float16",)) == []


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("float", "float"),
        ("tflite_float16", "float"),
        (BY_TENSORFLOW, "float"),
        ("graph", "int8"),
        ("tflite", "int8"),
        ("tflite@cortex-a72", "int8"),
        ("onnx_float32@cortex-a76", "float"),
        ("tflite_int16@cortex-a53", "int16"),
        ("tflite_reference", "int8"),
        ("savedmodel", "int8"),
        ("tflite_dynamic", "dynamic"),
        ("tflite_int16", "int16"),
    ],
)
def test_families(name: str, family: str) -> None:
    assert family_of(name) == family
    assert is_quantized(name) == (family != "float")


def test_every_artefact_has_a_reference_in_its_own_family() -> None:
    for kind, dtypes in DTYPES_OF.items():
        for dtype in dtypes:
            family = family_of(Candidate(kind, dtype, Path()).name)
            assert family_of(REFERENCES[family]) == family


def test_a_runner_on_a_core_tells_its_core() -> None:
    assert on_core("tflite", "cortex-a72") == "tflite@cortex-a72"
    assert [core_of_runner(name) for name in ("tflite@cortex-a72", "tflite", "float")] == ["cortex-a72", "", ""]


@pytest.mark.parametrize(
    ("a", "b", "compared"),
    [
        ("tflite", "onnx", True),
        ("float", "tflite", True),
        ("tflite_float32", "tflite", False),
        ("tflite", "tflite@cortex-a72", True),
        ("tflite@cortex-a72", "graph", True),
        ("float", "tflite_float32@cortex-a72", True),
        ("graph_int16", "tflite_int16@cortex-a72", True),
        ("float", "tflite@cortex-a72", False),
        ("onnx", "tflite@cortex-a72", False),
        ("tflite@cortex-a72", "tflite@cortex-a76", False),
        ("tflite_reference", "tflite@cortex-a72", False),
    ],
)
def test_a_file_on_a_core_is_compared_with_itself_here_and_with_what_it_was_made_from(
    a: str, b: str, compared: bool
) -> None:
    assert are_compared(a, b) is compared
    assert are_compared(b, a) is compared
