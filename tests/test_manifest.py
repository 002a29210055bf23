"""The manifest of a folder."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from attendc import __version__
from attendc.errors import CheckpointError
from attendc.manifest import MANIFEST, file_entry, read_manifest, versions, write_manifest


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    content = {"outputs": {"a.tflite": {"bytes": 3}}, "seed": 7, "path": Path("x")}
    write_manifest(tmp_path, content)
    assert read_manifest(tmp_path) == {**content, "path": "x"}


def test_a_file_is_known_by_its_digest_and_size(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_entry(tmp_path / "x") == {"sha256": hashlib.sha256(b"abc").hexdigest(), "bytes": 3}


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["attendc"] == __version__
    assert found["torch"] == metadata.version("torch")
    assert {"nncf", "torchao", "litert-torch", "onnxruntime", "onnxsim"} < set(found)


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"has no {MANIFEST}. Give a folder that attendc made"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"outputs": 3}', '{"outputs": {"a": 3}}', "\udcff"])
def test_a_damaged_one_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"manifest.json is damaged: .*Quantize again"):
        read_manifest(tmp_path)
